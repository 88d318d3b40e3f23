// A classic script in the head: the remembered theme is on before the first paint. `theme-switch.js` changes it.
(() => {
  try {
    const theme = localStorage.getItem("streamnest.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's theme is as good.
  }
})();
