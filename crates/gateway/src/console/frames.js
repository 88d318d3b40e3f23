// One write to the page per animation frame, however many entries arrive between two.

/** A hidden page has no animation frames; it still keeps up, now and then. */
const HIDDEN_INTERVAL_MS = 500;

/**
 * Makes a function that asks for `draw` to run before the next paint; asking again until then is free.
 *
 * @param {() => void} draw
 * @returns {() => void}
 */
export function oncePerFrame(draw) {
  let asked = false;
  const run = () => {
    asked = false;
    draw();
  };
  return () => {
    if (asked) return;
    asked = true;
    if (document.hidden) setTimeout(run, HIDDEN_INTERVAL_MS);
    else requestAnimationFrame(run);
  };
}
