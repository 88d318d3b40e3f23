// The choice between the system's theme, light and dark, remembered in this browser.

const KEY = "streamnest.theme";

/** @param {HTMLElement} group the radio group, one input per theme */
export function themeSwitch(group) {
  const remembered = read();
  for (const input of group.querySelectorAll("input")) {
    input.checked = input.value === remembered;
    input.addEventListener("change", () => apply(input.value));
  }
}

/** @returns {string} `system`, `light` or `dark` */
function read() {
  return document.documentElement.dataset.theme ?? "system";
}

/** @param {string} theme */
function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered, then; the page has it until it is left.
  }
}
