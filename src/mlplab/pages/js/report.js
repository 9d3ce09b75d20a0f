'use strict'
// The page of a sweep: its table, any two keys as a heat map, and each setting opened up to its runs.

const DATA = JSON.parse($('data').textContent), { rows, keys, metrics: METRICS } = DATA
const view = { sort: null, metric: METRICS[0]?.key ?? '', x: keys[0] ?? '', y: keys[1] ?? '', open: 0, at: null, mode: 'map', filter: '', theme: '', large: null }
view.sort = { column: 'order', down: false }
rows.forEach((row, k) => { row.order = k })
const metricOf = key => METRICS.find(m => m.key === key)
const meanOf = (row, key) => row.figures[key]?.mean ?? null
const inWords = (metric, v) => (v === null || v === undefined ? '–' : metric.percent ? percent(v) : short(v, 4))
const numeric = text => (text === null || text.trim() === '' || Number.isNaN(Number(text)) ? null : Number(text))

// The table. Columns: swept keys, runs, parameters, metrics.
const COLUMNS = [
  ...keys.map((key, k) => ({ name: DATA.short[k], key: `key${k}`, value: row => numeric(row.values[k]) ?? row.values[k] ?? '', text: row => row.values[k] ?? 'null', left: true })),
  { name: 'runs', key: 'runs', value: row => row.finished, text: row => (row.finished === row.count ? String(row.count) : `${row.finished} of ${row.count}`) },
  ...(rows.some(row => row.parameters) ? [{ name: 'parameters', key: 'parameters', value: row => row.parameters ?? -1, text: row => row.parameters?.toLocaleString('en') ?? '–' }] : []),
  ...METRICS.map(m => ({ name: m.label, key: m.key, metric: m, value: row => meanOf(row, m.key) ?? (m.higher ? -Infinity : Infinity), text: row => {
    const f = row.figures[m.key]
    return f ? `${inWords(m, f.mean)}${f.sd ? ` ± ${m.percent ? (100 * f.sd).toFixed(2) : short(f.sd, 2)}` : ''}` : '–'
  } })),
  ...DATA.extra.map((name, k) => ({ name, key: `extra${k}`, value: row => { const n = parseFloat(row.extra[k].replaceAll(',', '')); return Number.isNaN(n) ? row.extra[k] : n }, text: row => row.extra[k] })),
]
// A filter's words all hold: KEY=VALUE, KEY<VALUE, KEY>VALUE of a column, or a part of the row's text.
function passes(row) {
  return view.filter.toLowerCase().split(/\s+/).filter(Boolean).every(word => {
    const match = word.match(/^([^=<>]+)(<=|>=|=|<|>)(.+)$/), column = match && COLUMNS.find(c => c.name.toLowerCase() === match[1] || c.key.toLowerCase() === match[1])
    if (!column) return COLUMNS.some(c => c.text(row).toLowerCase().includes(word)) || row.label.toLowerCase().includes(word)
    const value = column.value(row), wanted = numeric(match[3].replace('%', '')), scaled = wanted !== null && column.metric?.percent ? wanted / 100 : wanted
    if (scaled === null || typeof value !== 'number') return match[2] === '=' && String(value).toLowerCase() === match[3]
    return { '=': value === scaled, '<': value < scaled, '>': value > scaled, '<=': value <= scaled, '>=': value >= scaled }[match[2]]
  })
}
function sorted() {
  const column = COLUMNS.find(c => c.key === view.sort.column), sign = view.sort.down ? -1 : 1, list = rows.filter(passes)
  if (!column) return list
  return list.sort((a, b) => {
    const [p, q] = [column.value(a), column.value(b)]
    return sign * (typeof p === 'number' && typeof q === 'number' ? (p === q ? 0 : p - q) : String(p).localeCompare(String(q), 'en', { numeric: true })) || a.order - b.order
  })
}
function drawTable() {
  const list = sorted(), focused = document.activeElement?.dataset?.sort
  $('table').querySelector('thead').replaceChildren(make('tr', {}, ...COLUMNS.map(c => {
    const here = view.sort.column === c.key, button = make('button', { textContent: c.name + (here ? (view.sort.down ? ' ↓' : ' ↑') : '') })
    button.dataset.sort = c.key
    button.onclick = () => { view.sort = { column: c.key, down: here ? !view.sort.down : !!c.metric?.higher }; drawTable(); address() }
    const th = make('th', { className: c.left ? 'left' : '' }, button)
    th.setAttribute('aria-sort', here ? (view.sort.down ? 'descending' : 'ascending') : 'none')
    return th
  })))
  const most = 600
  $('table').querySelector('tbody').replaceChildren(...list.slice(0, most).map((row, k) => {
    const tr = make('tr', { className: row.best ? 'best' : row.near ? 'near' : '', tabIndex: k === 0 ? 0 : -1 }, ...COLUMNS.map(c => make('td', { textContent: c.text(row), className: c.left ? 'left' : '' })))
    tr.dataset.row = row.order
    tr.setAttribute('aria-selected', row.order === view.open)
    return tr
  }))
  $('shownSays').textContent = [list.length < rows.length ? `${list.length} of ${rows.length} settings.` : '', list.length > most ? `The first ${most} are listed; filter for others.` : '', DATA.note].filter(Boolean).join(' ')
  if (focused) document.querySelector(`[data-sort="${focused}"]`)?.focus()
}
const rowOf = e => e.target.closest('tr[data-row]')
$('table').addEventListener('click', e => { const tr = rowOf(e); if (tr) open(+tr.dataset.row) })
$('table').addEventListener('keydown', e => {
  const tr = rowOf(e)
  if (!tr) return
  const to = { ArrowDown: tr.nextElementSibling, ArrowUp: tr.previousElementSibling, Home: tr.parentElement.firstElementChild, End: tr.parentElement.lastElementChild }[e.key]
  if (to) { tr.tabIndex = -1; to.tabIndex = 0; to.focus(); e.preventDefault() }
  if (e.key === 'Enter' || e.key === ' ') { open(+tr.dataset.row); e.preventDefault() }
})

// The heat map: the mean of a metric over the settings of each pair of values; a click opens the best of them.
const heat = { cells: [], at: 0 }
function drawHeat() {
  // Of a search every setting has values of its own: no two would share a row.
  const scattered = rows.length > 8 && keys.length > 1 && keys.some((_, k) => new Set(rows.map(row => row.values[k])).size === rows.length)
  $('heatCard').hidden = !keys.length || !METRICS.length || scattered
  if ($('heatCard').hidden) return
  const metric = metricOf(view.metric), kx = keys.indexOf(view.x), ky = keys.indexOf(view.y)
  const valuesOf = k => (k < 0 ? [''] : [...new Set(rows.map(row => row.values[k]))].sort((a, b) => (numeric(a) ?? 0) - (numeric(b) ?? 0) || String(a).localeCompare(String(b), 'en', { numeric: true })))
  const xs = valuesOf(kx), ys = ky === kx ? [''] : valuesOf(ky), width = $('heat').clientWidth, left = ky >= 0 && ky !== kx ? 74 : 8, cw = (width - left - 4) / xs.length, ch = Math.max(22, Math.min(46, 320 / ys.length))
  const { c } = fitted($('heat').querySelector('canvas'), 40 + ch * ys.length + 6), means = []
  heat.cells = []; heat.columns = xs.length
  ys.forEach((b, j) => xs.forEach((a, i) => {
    const list = rows.filter(row => (kx < 0 || row.values[kx] === a) && (ky < 0 || ky === kx || row.values[ky] === b) && meanOf(row, view.metric) !== null)
    const mean = list.length ? list.reduce((s, row) => s + meanOf(row, view.metric), 0) / list.length : null
    const best = list.reduce((m, row) => (m && (metric.higher ? meanOf(m, view.metric) >= meanOf(row, view.metric) : meanOf(m, view.metric) <= meanOf(row, view.metric)) ? m : row), null)
    heat.cells.push({ a, b, x: left + i * cw, y: 36 + j * ch, w: cw, h: ch, mean, best, count: list.length })
    if (mean !== null) means.push(mean)
  }))
  const log = !metric.percent && Math.min(...means) > 0, f = log ? Math.log : v => v, low = f(Math.min(...means)), high = f(Math.max(...means)), font = 'system-ui, sans-serif'
  c.font = `12px ${font}`; c.fillStyle = css('--muted'); c.textAlign = 'center'
  c.fillText(kx >= 0 ? DATA.short[kx] : '', left + (width - left) / 2, 12)
  xs.forEach((a, i) => c.fillText(a ?? 'null', left + (i + 0.5) * cw, 29, cw - 2))
  if (left > 8) { c.textAlign = 'right'; ys.forEach((b, j) => c.fillText(b ?? 'null', left - 6, 36 + (j + 0.5) * ch + 4, 50)); c.save(); c.translate(10, 36 + ch * ys.length / 2); c.rotate(-Math.PI / 2); c.textAlign = 'center'; c.fillText(DATA.short[ky], 0, 0); c.restore() }
  c.textAlign = 'center'
  heat.cells.forEach((cell, k) => {
    if (cell.mean === null) { c.strokeStyle = css('--line'); c.strokeRect(cell.x + 2, cell.y + 2, cell.w - 4, cell.h - 4); return }
    const t = high === low ? 1 : (f(cell.mean) - low) / (high - low), good = metric.higher ? t : 1 - t, from = [236, 240, 247], middle = [111, 160, 214], to = [15, 60, 115], s = good < 0.5 ? good * 2 : good * 2 - 1
    const colour = (good < 0.5 ? from : middle).map((v, q) => Math.round(v + s * ((good < 0.5 ? middle : to)[q] - v)))
    c.fillStyle = `rgb(${colour})`; c.fillRect(cell.x + 1, cell.y + 1, cell.w - 2, cell.h - 2)
    c.fillStyle = good > 0.55 ? '#fff' : '#101522'
    if (cell.w > 30) c.fillText(metric.percent ? (100 * cell.mean).toFixed(2) : short(cell.mean, 3), cell.x + cell.w / 2, cell.y + cell.h / 2 + 4, cell.w - 4)
    if (cell.best?.order === view.open || (k === heat.at && document.activeElement === $('heat'))) { c.strokeStyle = css('--ink'); c.lineWidth = 2; c.strokeRect(cell.x + 2, cell.y + 2, cell.w - 4, cell.h - 4); c.lineWidth = 1 }
  })
  sayCell(heat.cells[heat.at])
}
function sayCell(cell) {
  if (!cell) return
  const metric = metricOf(view.metric), names = [[view.x, cell.a], [view.y, cell.b]].filter(([key, v]) => key && v !== '').map(([key, v]) => `${DATA.short[keys.indexOf(key)]} ${v}`)
  $('heatSays').textContent = cell.mean === null ? `${names.join(', ')}: no result` : `${names.join(', ')}: ${metric.label} ${inWords(metric, cell.mean)}${cell.count > 1 ? `, the mean of ${cell.count} settings; a click opens the best, ${cell.best.label}` : ''}`
}
const heatCanvas = $('heat').querySelector('canvas'), heatAt = e => { const [x, y] = within(heatCanvas, e); return heat.cells.findIndex(q => x >= q.x && y >= q.y && x < q.x + q.w && y < q.y + q.h) }
heatCanvas.addEventListener('pointermove', e => sayCell(heat.cells[heatAt(e)]))
heatCanvas.addEventListener('click', e => { const k = heatAt(e); if (k >= 0) { heat.at = k; if (heat.cells[k].best) open(heat.cells[k].best.order) } })
$('heat').addEventListener('keydown', e => {
  const to = { ArrowRight: heat.at + 1, ArrowLeft: heat.at - 1, ArrowDown: heat.at + heat.columns, ArrowUp: heat.at - heat.columns }[e.key]
  if (to !== undefined && heat.cells[to]) { heat.at = to; drawHeat(); e.preventDefault() }
  if (e.key === 'Enter' && heat.cells[heat.at].best) open(heat.cells[heat.at].best.order)
})
for (const event of ['focus', 'blur']) $('heat').addEventListener(event, drawHeat)

// One setting: the maps of its runs, computed here, at an epoch; null is the epoch that each run kept and was measured at.
const netOf = run => (run.net === null ? null : DATA.nets[run.net])
function weightsOf(net, at) {
  const entry = net.snapshots.findLast(s => s.epoch <= (at ?? net.measured)) ?? net.snapshots[0]
  entry.theta ??= net.half ? halves(unpacked(entry.weights)) : new Float32Array(unpacked(entry.weights))
  return entry
}
// Numbers of 16 bits as IEEE has them.
function halves(buffer) {
  return Float32Array.from(new Uint16Array(buffer), h => {
    const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023
    return exponent === 0 ? sign * fraction * 2 ** -24 : exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
  })
}
const parametersOf = net => net.widths.slice(1).reduce((sum, width, l) => sum + width * (net.widths[l] + 1), 0)
const bayesMaps = new Map()
function bayesOf(net) {
  const name = JSON.stringify([net.law, net.extent])
  if (!bayesMaps.has(name)) {
    const law = net.law && density(net.law), places = grid(96, net.extent)
    bayesMaps.set(name, law ? Float32Array.from(logPosterior(places.x, places.count, law), Math.exp) : null)
  }
  return bayesMaps.get(name)
}
// Half the sum of the differences of all probabilities: 0 the same, 1 sure of another class.
function differencePixels(p, q, n, K) {
  const resolution = Math.sqrt(n), pixels = new Uint8ClampedArray(4 * n), paper = rgb(css('--map')), ink = rgb(isDark() ? '#ff9078' : '#b01d00')
  for (let at = 0; at < n; at++) {
    let d = 0
    for (let k = 0; k < K; k++) d += Math.abs(p[k * n + at] - q[k * n + at]) / 2
    const to = 4 * ((resolution - 1 - Math.floor(at / resolution)) * resolution + at % resolution)
    for (let j = 0; j < 3; j++) pixels[to + j] = paper[j] + Math.min(1, d) * (ink[j] - paper[j])
    pixels[to + 3] = 255
  }
  return pixels
}
let lens = null
function drawMap(canvas, net, resolution) {
  const entry = weightsOf(net, view.at), shape = new Shape(net.widths, net.activation, net.dropout), K = net.widths.at(-1), began = performance.now()
  if (lens) lens.set(shape, entry.theta); else lens = new Lens(shape, entry.theta)
  const { c, w, h } = fitted(canvas, canvas.parentElement.clientWidth), best = view.mode === 'bayes' ? bayesOf(net) : null
  let image
  if (view.mode === 'bayes' && best) { const places = grid(96, net.extent); image = bitmap(differencePixels(lens.probabilities(places.x, places.count), best, places.count, K), 96) }
  else image = bitmap(lens.pixels(resolution, net.extent, tone()), resolution)
  drawImage(c, image, 0, 0, w, h)
  document.documentElement.dataset.mapMs = performance.now() - began
  return entry.epoch
}
function cell() {
  const row = rows[view.open]
  $('cell').hidden = !row
  if (!row) return
  $('cellTitle').textContent = `${row.label}${row.best ? ' ★' : ''}`
  $('cellSays').textContent = [row.parameters ? `${row.parameters.toLocaleString('en')} parameters.` : '', row.best ? 'The selected setting.' : row.near ? 'Not significantly different from the selected one.' : ''].filter(Boolean).join(' ')
  const nets = row.runs.map(netOf), epochs = [...new Set(nets.filter(Boolean).flatMap(n => n.snapshots.map(s => s.epoch)))].sort((a, b) => a - b)
  $('mapRow').hidden = !epochs.length
  if (!epochs.includes(view.at)) view.at = null
  $('when').max = epochs.length
  $('when').value = view.at === null ? epochs.length : epochs.indexOf(view.at)
  $('when').oninput = () => { view.at = epochs[+$('when').value] ?? null; maps(row); curves(row); address() }
  $('mode').hidden = !nets.some(n => n?.law)
  maps(row)
  curves(row)
  $('runs').replaceChildren(make('tr', {}, ...['run', 'status', ...METRICS.map(m => m.label)].map((textContent, k) => make('th', { textContent, className: k ? '' : 'left' }))),
    ...row.runs.map(run => make('tr', {}, make('td', { className: 'left' }, run.link ? make('a', { href: run.link, textContent: run.name }) : run.name), make('td', { textContent: run.status }), ...METRICS.map(m => make('td', { textContent: inWords(m, run.figures[m.key]) })))))
  $('command').textContent = row.command
  $('toPlayground').hidden = !row.playground
  if (row.playground) $('toPlayground').href = row.playground
}
function maps(row) {
  const entries = row.runs.filter(netOf), epochs = []
  $('maps').replaceChildren(...entries.map((run, k) => {
    const figure = make('figure', { className: view.large === run.name ? 'large' : '' }, make('div', { className: 'square' }, make('canvas')), make('figcaption', { textContent: run.seed }))
    figure.tabIndex = 0
    figure.onclick = () => { view.large = view.large === run.name ? null : run.name; maps(row) }
    figure.onkeydown = e => { if (e.key === 'Enter') figure.onclick() }
    return figure
  }))
  ;[...$('maps').children].forEach((figure, k) => {
    const epoch = drawMap(figure.querySelector('canvas'), netOf(entries[k]), view.large === entries[k].name ? (parametersOf(netOf(entries[k])) > 20000 ? 104 : 128) : parametersOf(netOf(entries[k])) > 20000 ? 48 : 72)
    epochs.push(epoch)
    if (epoch !== view.at) figure.querySelector('figcaption').textContent += `, epoch ${epoch}`
  })
  const missing = row.runs.length - entries.length
  $('epoch').textContent = view.at === null ? 'as measured' : `epoch ${view.at}`
  if (missing && row.runs.length && DATA.nets.length) $('maps').append(make('p', { className: 'muted', textContent: entries.length ? `${missing} more without weights in this page.` : 'No weights of these runs stand in this page.' }))
}
function curves(row) {
  $('lossPart').hidden = row.runs.every(run => run.history === null)
  if ($('lossPart').hidden) return
  const found = row.runs.map(run => (run.history === null ? null : DATA.histories[run.history])).filter(Boolean), band = name => {
    const epochs = [...new Set(found.flatMap(h => h.epoch))].sort((a, b) => a - b)
    return epochs.map(e => {
      const values = found.map(h => h[name]?.[h.epoch.indexOf(e)]).filter(v => v !== null && v !== undefined)
      return values.length ? [e, values.reduce((a, b) => a + b, 0) / values.length, Math.min(...values), Math.max(...values)] : null
    }).filter(Boolean)
  }
  const [train, validation] = [band('train'), band('validation')], series = (list, colour) => ({ points: list, band: list.map(([x, , a, b]) => [x, a, b]), colour: css(colour) })
  chart($('curves'), { series: [series(train, '--train'), series(validation, '--validation')], lines: row.limit === null ? [] : [{ y: row.limit, label: 'Bayes limit' }], log: true, x: 'epoch', y: 'NLL', height: 180, cursor: view.at })
}

function open(order) { view.open = order; view.large = null; drawTable(); drawHeat(); cell(); address() }
function address() {
  clearTimeout(address.timer)
  address.timer = setTimeout(() => {
    const words = { open: view.open, metric: view.metric, x: view.x, y: view.y, sort: (view.sort.down ? '-' : '') + view.sort.column, at: view.at ?? '', mode: view.mode, filter: view.filter, theme: view.theme }
    history.replaceState(null, '', '#' + Object.entries(words).filter(([, v]) => v !== '').map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&'))
  }, 80)
}
function read(text) {
  const q = new URLSearchParams(text.replace(/^#/, ''))
  if (rows[+q.get('open')]) view.open = +q.get('open')
  if (metricOf(q.get('metric'))) view.metric = q.get('metric')
  for (const axis of ['x', 'y']) if (keys.includes(q.get(axis))) view[axis] = q.get(axis)
  const sort = q.get('sort') ?? 'order'
  if (COLUMNS.some(c => c.key === sort.replace(/^-/, ''))) view.sort = { column: sort.replace(/^-/, ''), down: sort.startsWith('-') }
  if (q.get('at') && Number.isInteger(+q.get('at'))) view.at = +q.get('at')
  if (['map', 'bayes'].includes(q.get('mode'))) view.mode = q.get('mode')
  if (['dark', 'light'].includes(q.get('theme'))) view.theme = q.get('theme')
  view.filter = q.get('filter') ?? ''
}
function all() {
  setTheme(view.theme)
  $('theme').textContent = isDark() ? '☀ light' : '☾ dark'
  drawTable(); drawHeat(); cell()
}
$('title').textContent = DATA.title
$('lead').replaceChildren(...DATA.lead.map(textContent => make('p', { textContent })))
$('sections').replaceChildren(...DATA.sections.map(([heading, lines]) => make('div', { className: 'card', style: 'margin-top:10px' }, make('h2', { textContent: heading }), make('ul', {}, ...lines.map(textContent => make('li', { className: 'muted', textContent }))))))
$('sections').append(...DATA.pictures.map(([caption, png]) => make('figure', { className: 'card', style: 'margin:10px 0 0' }, make('img', { alt: caption, src: `data:image/png;base64,${png}`, style: 'max-width:100%' }), make('figcaption', { textContent: caption }))))
$('fixed').querySelector('table').replaceChildren(...DATA.fixed.map(([key, value]) => make('tr', {}, make('td', { textContent: key }), make('td', { textContent: value }))))
const line = (colour, text) => { const i = make('i', { className: 'thin' }); i.style.background = `var(${colour})`; return make('span', {}, i, text) }
$('lines').replaceChildren(line('--train', 'train'), line('--validation', 'validation'), ...(rows.some(row => row.limit !== null) ? [line('--limit', 'Bayes limit')] : []))
$('keyY').hidden = keys.length < 2
$('metric').replaceChildren(...METRICS.map(m => make('option', { value: m.key, textContent: m.label })))
for (const [id, axis] of [['keyX', 'x'], ['keyY', 'y']]) {
  $(id).replaceChildren(...keys.map((key, k) => make('option', { value: key, textContent: DATA.short[k] })))
  $(id).onchange = () => { view[axis] = $(id).value; heat.at = 0; drawHeat(); address() }
}
read(location.hash)
$('metric').value = view.metric; $('keyX').value = view.x; $('keyY').value = view.y; $('mode').value = view.mode; $('filter').value = view.filter
$('metric').onchange = () => { view.metric = $('metric').value; drawHeat(); address() }
$('mode').onchange = () => { view.mode = $('mode').value; cell(); address() }
$('filter').oninput = () => { view.filter = $('filter').value; drawTable(); address() }
$('copy').onclick = () => copy(rows[view.open].command, $('copy'))
$('theme').onclick = () => { view.theme = isDark() ? 'light' : 'dark'; all(); address() }
addEventListener('keydown', e => { if (e.key.toLowerCase() === 'd' && !e.ctrlKey && !e.metaKey && !e.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) $('theme').click() })
addEventListener('resize', () => { drawHeat(); cell() })
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', all)
all()
document.documentElement.dataset.firstMs = performance.now()
