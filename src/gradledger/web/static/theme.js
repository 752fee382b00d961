// Before anything is drawn: the theme that was chosen last, if one was.
(() => {
  let theme = null;
  try { theme = localStorage.getItem("gradledger-theme"); } catch { /* storage is off */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  document.documentElement.classList.add("scripted");
})();
