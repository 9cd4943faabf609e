// What the pages do by themselves: switch the theme, draw charts, pause live updates.
(() => {
  const root = document.documentElement;
  const isDark = () => root.dataset.bsTheme === 'dark';

  // ---- theme
  const button = document.getElementById('theme');
  const label = () => { button.textContent = isDark() ? 'Light' : 'Dark'; button.setAttribute('aria-label', `Switch to the ${isDark() ? 'light' : 'dark'} theme`); };
  button.hidden = false;
  label();
  button.addEventListener('click', () => {
    root.dataset.bsTheme = isDark() ? 'light' : 'dark';
    try { localStorage.setItem('theme', root.dataset.bsTheme); } catch { /* private window: for this page only */ }
    label();
    drawAll();
  });
  addEventListener('theme', () => { label(); drawAll(); });

  // ---- live pages
  let paused = false;
  const pause = document.getElementById('pause-live');
  const word = document.getElementById('live-word');
  const live = word && word.textContent;
  const written = () => [...document.querySelectorAll('main textarea, main input:not([type=hidden])')].some((one) => one.value);
  if (pause) {
    pause.hidden = false;
    pause.addEventListener('click', () => {
      paused = !paused;
      pause.setAttribute('aria-pressed', String(paused));
      pause.textContent = paused ? 'Resume updates' : 'Pause updates';
      word.textContent = paused ? word.dataset.paused : live;
    });
  }
  document.addEventListener('htmx:sse:before:message', (event) => {
    if (paused && event.detail.message.event !== 'ended') event.preventDefault();
  });
  document.addEventListener('htmx:sse:close', () => {
    if (!word) return;
    if (document.querySelector('[data-reload]') && !paused && !written()) location.reload();
    word.textContent = word.dataset.ended;
    if (pause) pause.hidden = true;
    document.querySelector('.live-dot').classList.add('still');
  });

  // ---- forms that show what they chose at once
  document.querySelectorAll('form[data-submit-on-change] select').forEach((one) => one.addEventListener('change', () => one.form.requestSubmit()));

  // ---- charts
  const colours = { light: ['#0b4f6c', '#b34700', '#6a2c91', '#1b6e3c', '#8a1c3b', '#4a4a4a'], dark: ['#7cc4e8', '#ffb36b', '#d2a8ff', '#7ee2a0', '#ff9bb3', '#d0d0d0'] };
  const ink = { light: { text: '#33414e', line: '#d9dfe5' }, dark: { text: '#c9d3dc', line: '#3a4653' } };
  const short = (n) => (Math.abs(n) >= 100 || Number.isInteger(n) ? n.toFixed(0) : Number(n.toPrecision(2)).toString());
  const units = {
    s: (v) => (v == null ? '—' : v < 0.1 ? `${short(v * 1000)} ms` : v < 120 ? `${short(v)} s` : `${short(v / 60)} min`),
    usd: (v) => (v == null ? '—' : `$${Number(v.toPrecision(2))}`),
  };
  const clock = (ms) => new Date(ms).toISOString().slice(11, 16);
  const day = (ms) => new Date(ms).toISOString().slice(5, 16).replace('T', ' ');
  const draw = (el) => {
    const mode = isDark() ? 'dark' : 'light';
    const say = units[el.dataset.unit];
    const option = JSON.parse(el.dataset.chart);
    const [from, to] = option.window;
    const wide = to - from > 86400000;
    delete option.window;
    const old = echarts.getInstanceByDom(el);
    if (old) old.dispose();
    const chart = echarts.init(el, null, { renderer: 'svg' });
    const line = { lineStyle: { color: ink[mode].line } };
    option.series.forEach((s) => { if (s.markLine) { s.markLine.lineStyle.color = ink[mode].text; s.markLine.label.color = ink[mode].text; s.markLine.silent = true; } });
    chart.setOption({
      color: colours[mode], backgroundColor: 'transparent', useUTC: true,
      animation: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      aria: { enabled: true, label: { description: el.getAttribute('aria-label') } },
      grid: { left: 64, right: 24, top: 40, bottom: 32 },
      legend: { type: 'scroll', top: 4, left: 60, right: 24, pageIconColor: ink[mode].text, pageTextStyle: { color: ink[mode].text }, itemWidth: 34, textStyle: { color: ink[mode].text } },
      tooltip: { trigger: 'axis', valueFormatter: say, backgroundColor: isDark() ? '#1b2530' : '#fff', textStyle: { color: ink[mode].text } },
      xAxis: { type: 'time', minInterval: 60000, splitNumber: 4, min: from, max: to, axisLine: line, axisLabel: { color: ink[mode].text, hideOverlap: true, formatter: wide ? day : clock }, splitLine: { show: false } },
      yAxis: { type: 'value', min: 0, axisLabel: { color: ink[mode].text, formatter: say }, splitLine: line },
      ...option,
    });
    new ResizeObserver(() => chart.resize()).observe(el);
  };
  const drawAll = () => document.querySelectorAll('[data-chart]').forEach(draw);
  drawAll();
})();
