// Runs before the page is drawn, so that it never flashes in the wrong theme.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const chosen = () => { try { return localStorage.getItem('theme'); } catch { return null; } };
  const apply = () => { document.documentElement.dataset.bsTheme = chosen() || (dark.matches ? 'dark' : 'light'); };
  apply();
  dark.addEventListener('change', () => { apply(); dispatchEvent(new Event('theme')); });
})();
