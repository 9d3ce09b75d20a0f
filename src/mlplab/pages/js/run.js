'use strict'
// The page of one run: its network's snapshots laid open, and all that is known of it.

const RUN = JSON.parse($('data').textContent), K = RUN.classes.length, F = RUN.features.length
const view = { at: RUN.chosen, zoom: 1, points: 'test', bayes: 'boundary', pair: RUN.pair.length ? RUN.pair : [0, Math.min(1, F - 1)], theme: '', tab: 'units' }
const points = RUN.points && { count: RUN.points.count, x: new Float32Array(unpacked(RUN.points.x)), y: new Int32Array(unpacked(RUN.points.y)) }
const shape = RUN.widths && new Shape(RUN.widths, RUN.activation, RUN.dropout)
const thetas = RUN.snapshots.map(s => new Float32Array(unpacked(s.weights)))
const known = RUN.probabilities && new Float32Array(unpacked(RUN.probabilities))
const law = RUN.law && density(RUN.law)
const lens = shape && thetas.length ? new Lens(shape, thetas[view.at]) : null
const isPlane = lens && F >= 2 && RUN.extent
const usual = String(view.pair)

// Values in the data's units as the network takes them.
function inputs(x, count) {
  if (RUN.scale.every(v => v === 1) && RUN.shift.every(v => v === 0)) return x
  return Float32Array.from(x, (v, k) => { const f = Math.floor(k / count); return (v - RUN.shift[f]) / RUN.scale[f] })
}
// The test points in those units.
const given = points && { ...points, x: Float32Array.from(points.x, (v, k) => { const f = Math.floor(k / points.count); return v * RUN.scale[f] + RUN.shift[f] }) }

// The middle of all features, and inputs at points of the drawn plane.
const middle = RUN.box[0].map((low, k) => (low + RUN.box[1][k]) / 2)
function embed(x, count) {
  if (F === 2) return inputs(x, count)
  const out = new Float32Array(F * count)
  for (let k = 0; k < F; k++) out.fill(middle[k], k * count, (k + 1) * count)
  out.set(x.subarray(0, count), view.pair[0] * count)
  out.set(x.subarray(count, 2 * count), view.pair[1] * count)
  return inputs(out, count)
}
function extent() {
  const sides = view.pair.flatMap((k, j) => {
    if (String(view.pair) === usual && RUN.extent) return [RUN.extent[2 * j], RUN.extent[2 * j + 1]]
    const half = (RUN.box[1][k] - RUN.box[0][k]) * 0.7 || 1
    return [middle[k] - half, middle[k] + half]
  })
  const [l, r, d, u] = sides, grow = (a, b) => [(a + b) / 2 - (b - a) / 2 * view.zoom, (a + b) / 2 + (b - a) / 2 * view.zoom]
  return [...grow(l, r), ...grow(d, u)]
}
const flat = p => ({ count: p.count, y: p.y, x: Float32Array.from({ length: 2 * p.count }, (_, k) => p.x[view.pair[k < p.count ? 0 : 1] * p.count + k % p.count]) })
const probabilitiesNow = () => (lens ? lens.probabilities(points.x, points.count) : known)

// The Bayes classifier over what is drawn, kept for each zoom.
const bayesMaps = {}
function bayes() {
  if (!law || F !== 2) return null
  return (bayesMaps[view.zoom] ??= (() => {
    const resolution = 96, places = grid(resolution, extent()), probabilities = Float32Array.from(logPosterior(places.x, places.count, law), Math.exp)
    return { resolution, probabilities, segments: boundaries(probabilities, resolution, K) }
  })())
}

const canvas = $('stage').querySelector('canvas')
function drawMap() {
  if (!isPlane) return
  const { c, w, h } = fitted(canvas, $('stage').clientHeight), e = extent(), place = (a, b) => [(a - e[0]) / (e[1] - e[0]) * w, (e[3] - b) / (e[3] - e[2]) * h]
  const best = view.bayes === 'none' ? null : bayes(), began = performance.now()
  if (view.bayes === 'map' && best) drawImage(c, bitmap(mapPixels(best.probabilities, best.resolution, K, tone()), best.resolution), 0, 0, w, h)
  else drawImage(c, bitmap(lens.pixels(128, e, tone(), embed), 128), 0, 0, w, h)
  document.documentElement.dataset.mapMs = performance.now() - began
  const [x0, y0] = place(RUN.box[0][view.pair[0]], RUN.box[1][view.pair[1]]), [x1, y1] = place(RUN.box[1][view.pair[0]], RUN.box[0][view.pair[1]])
  c.strokeStyle = css('--muted'); c.setLineDash([2, 3]); c.lineWidth = 1; c.strokeRect(x0, y0, x1 - x0, y1 - y0); c.setLineDash([])
  if (points && view.points !== 'none') {
    const p = probabilitiesNow(), wrong = k => likeliest(p, points.count, k, K) !== points.y[k]
    drawPoints(c, flat(given), place, { wrong, onlyWrong: view.points === 'wrong', radius: Math.max(1.9, w / 230) })
  }
  if (view.bayes === 'boundary' && best) drawSegments(c, best.segments, best.resolution, 0, 0, w, { colour: css('--ink'), width: 1.2 })
  c.font = '11.5px system-ui, sans-serif'; c.fillStyle = css('--muted'); c.textAlign = 'left'
  for (const v of ticks(e[0], e[1], 4)) { const [x] = place(v, 0); if (x > 12 && x < w - 26) c.fillText(short(v), x + 2, h - 4) }
  for (const v of ticks(e[2], e[3], 4)) { const [, y] = place(0, v); if (y > 16 && y < h - 18) c.fillText(short(v), 3, y - 2) }
  c.textAlign = 'right'; c.fillText(`${RUN.features[view.pair[0]]} →`, w - 5, h - 18); c.textAlign = 'left'; c.fillText(`↑ ${RUN.features[view.pair[1]]}`, 5, 13)
}

function drawCurves() {
  const h = RUN.history, at = isPlane ? RUN.snapshots[view.at].epoch : null, pairs = name => (h[name] ?? []).map((v, k) => [h.epoch[k], v]).filter(p => p[1] !== null)
  const lines = key => (RUN.limit?.[key] != null ? [{ y: RUN.limit[key], label: 'Bayes limit' }] : [])
  const both = name => [{ points: pairs(`train/${name}`), colour: css('--train') }, { points: pairs(`val/${name}`), colour: css('--validation') }]
  chart($('loss'), { series: both('loss'), lines: lines('nll'), log: true, x: '', y: 'NLL', height: 165, cursor: at })
  chart($('accuracy'), { series: both('accuracy'), lines: lines('accuracy').map(l => ({ ...l, above: true })), x: 'epoch', y: 'accuracy, %', percentages: true, height: 165, cursor: at })
}

const details = {
  units() { choice.fit(shape); choice.draw(lens, extent(), embed) },
  warped() { choice.fit(shape); if (shape.depth) drawWarped($('warped').querySelector('canvas'), lens, extent(), points, choice.chosen, embed) },
  wrong() {
    const p = probabilitiesNow(), list = []
    for (let k = 0; k < points.count; k++) { const j = likeliest(p, points.count, k, K); if (j !== points.y[k]) list.push([k, j, p[j * points.count + k]]) }
    list.sort((a, b) => b[2] - a[2])
    $('wrongSays').textContent = `${list.length} of ${points.count} test points are misclassified; the most confident mistakes first.`
    $('wrong').querySelector('table').replaceChildren(make('tr', {}, ...[...RUN.features.slice(0, 4), 'is', 'taken for', 'with'].map(textContent => make('th', { textContent }))),
      ...list.slice(0, 40).map(([k, j, q]) => make('tr', {}, ...[...RUN.features.slice(0, 4).map((_, f) => short(given.x[f * points.count + k])), RUN.classes[points.y[k]], RUN.classes[j], percent(q, 1)].map(textContent => make('td', { textContent })))))
  },
  confusion() { $('confusion').querySelector('.scroll').replaceChildren(confusionTable(confusion(probabilitiesNow(), points, K), RUN.classes)) },
  calibration() {
    const { bins, error } = calibrationBins(probabilitiesNow(), points, K)
    $('calibrationSays').textContent = `How often it is right beside how sure it is, on ${points.count} test points; expected calibration error ${(100 * error).toFixed(2)} percentage points.`
    chart($('calibration').querySelector('canvas'), {
      series: [{ points: [[0, 0], [1, 1]], colour: css('--limit'), dash: [6, 4], width: 1.2 }, { points: bins, colour: css('--train'), dots: true }],
      x: 'mean probability of the class it names', y: 'share that is right', height: 300, square: [0, 1],
    })
  },
  beyond() {
    const rays = 72, steps = 60, total = rays * steps, x = new Float32Array(2 * total), [a, b] = view.pair, half = k => (RUN.box[1][k] - RUN.box[0][k]) / 2 || 1
    for (let s = 0; s < steps; s++) for (let q = 0; q < rays; q++) {
      const r = 5 * s / (steps - 1) * Math.SQRT2, at = s * rays + q
      x[at] = middle[a] + r * half(a) * Math.cos(2 * Math.PI * q / rays)
      x[total + at] = middle[b] + r * half(b) * Math.sin(2 * Math.PI * q / rays)
    }
    const sure = (p) => Array.from({ length: steps }, (_, s) => {
      const values = Array.from({ length: rays }, (_, q) => Math.max(...Array.from({ length: K }, (_, k) => p[k * total + s * rays + q])))
      return [5 * s / (steps - 1), values.reduce((m, v) => m + v, 0) / rays, Math.min(...values), Math.max(...values)]
    })
    const own = sure(lens.probabilities(embed(x, total), total)), best = law && F === 2 ? sure(Float32Array.from(logPosterior(x, total, law), Math.exp)) : []
    chart($('beyond').querySelector('canvas'), {
      series: [{ points: own, band: own.map(([r, , low, high]) => [r, low, high]), colour: css('--train') }, { points: best, colour: css('--limit'), dash: [6, 4] }],
      x: 'distance from the middle (grey: the Bayes classifier)', y: 'largest probability', height: 240, cursor: 1,
    })
  },
  projection() {
    const { mean, axes } = principal(), N = points.count, flatX = new Float32Array(2 * N)
    for (let p = 0; p < N; p++) axes.forEach(({ v }, k) => { for (let f = 0; f < F; f++) flatX[k * N + p] += v[f] * (points.x[f * N + p] - mean[f]) })
    const reach = 1.08 * flatX.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-9), e = [-reach, reach, -reach, reach], { c, w, h } = fitted($('projection').querySelector('canvas'))
    const onPlane = (x, count) => Float32Array.from({ length: F * count }, (_, at) => { const f = Math.floor(at / count), p = at % count; return mean[f] + x[p] * axes[0].v[f] + x[count + p] * axes[1].v[f] })
    if (lens) drawImage(c, bitmap(lens.pixels(96, e, tone(), onPlane), 96), 0, 0, w, h)
    else { c.fillStyle = css('--map'); c.fillRect(0, 0, w, h) }
    const p = probabilitiesNow(), wrong = k => likeliest(p, N, k, K) !== points.y[k]
    drawPoints(c, { count: N, y: points.y, x: flatX }, (a, b) => [(a + reach) / 2 / reach * w, (reach - b) / 2 / reach * h], { wrong })
    $('projectionSays').textContent = `The test points along the two directions in which they vary most, with ${axes.map(a => percent(a.share, 0)).join(' and ')} of their variance; a dark ring: misclassified.${lens ? ' Behind them what the network says on that plane through their mean.' : ''}`
  },
  dependence() {
    const feature = +$('dependent').value || 0, n = Math.min(200, points.count), steps = 41, low = RUN.box[0][feature], high = RUN.box[1][feature]
    const at = Array.from({ length: steps }, (_, s) => low + (high - low) * s / (steps - 1)), series = RUN.classes.map((_, k) => ({ points: [], colour: COLOURS[k % 10] }))
    for (const value of at) {
      const x = new Float32Array(F * n)
      for (let f = 0; f < F; f++) for (let p = 0; p < n; p++) x[f * n + p] = f === feature ? value : given.x[f * points.count + p]
      const p = lens.probabilities(inputs(x, n), n)
      series.forEach((s, k) => s.points.push([value, p.subarray(k * n, (k + 1) * n).reduce((m, v) => m + v, 0) / n]))
    }
    chart($('dependence').querySelector('canvas'), { series, x: RUN.features[feature], y: 'mean probability', height: 240 })
  },
}

// The two directions in which the points vary most, by power iteration on their covariance.
function principal() {
  if (principal.known) return principal.known
  const N = points.count, x = (f, p) => points.x[f * N + p], mean = RUN.features.map((_, f) => points.x.subarray(f * N, (f + 1) * N).reduce((a, b) => a + b, 0) / N), axes = []
  let total = 0
  for (let f = 0; f < F; f++) for (let p = 0; p < N; p++) total += (x(f, p) - mean[f]) ** 2
  while (axes.length < 2) {
    let v = Float64Array.from({ length: F }, (_, f) => 1 + (7 * f + 3 * axes.length) % 5), size = 0
    for (let turn = 0; turn < 60; turn++) {
      const along = new Float64Array(N), next = new Float64Array(F)
      for (let f = 0; f < F; f++) for (let p = 0; p < N; p++) along[p] += v[f] * (x(f, p) - mean[f])
      for (let f = 0; f < F; f++) for (let p = 0; p < N; p++) next[f] += along[p] * (x(f, p) - mean[f])
      for (const other of axes) { const share = next.reduce((s, a, f) => s + a * other.v[f], 0); for (let f = 0; f < F; f++) next[f] -= share * other.v[f] }
      size = Math.hypot(...next)
      v = next.map(a => a / (size || 1))
    }
    axes.push({ v, share: size / (total || 1) })
  }
  return principal.known = { mean, axes }
}

function figures() {
  const nats = v => (v == null ? '–' : Math.abs(v) < 100 ? fixed(v, 4) : short(v))
  // As on the terminal. Name, metric and how it is written; those that no part has are left out.
  const all = [['accuracy', 'accuracy', percent], ['Bayes', 'bayes_accuracy', percent], ['NLL', 'nll', nats], ['Bayes', 'bayes_nll', nats], ['NLL regret', 'nll_regret', nats], ['calibration error', 'calibration_error', v => percent(v)]]
  const kept = all.filter(([, key]) => RUN.figures.some(([, f]) => f[key] != null))
  $('figures').replaceChildren(make('tr', {}, make('th', { textContent: 'points', className: 'left' }), ...kept.map(([textContent]) => make('th', { textContent }))),
    ...RUN.figures.map(([part, f]) => make('tr', {}, make('th', { textContent: part, className: 'left' }), ...kept.map(([, key, write]) => make('td', { textContent: write(f[key]) })))))
}
function configTable() {
  const word = $('filter').value.trim().toLowerCase(), only = $('differing').getAttribute('aria-pressed') === 'true' && !word
  const differing = RUN.config.filter(entry => entry[3]).length
  $('configSays').textContent = only && !differing ? 'Everything is as it is by default.' : ''
  $('config').querySelector('table').hidden = only && !differing
  $('config').querySelector('table').replaceChildren(make('tr', {}, ...['key', 'value', 'by default'].map(textContent => make('th', { textContent }))),
    ...RUN.config.filter(([key, , , differs]) => (only ? differs : key.toLowerCase().includes(word)))
      .map(([key, value, usual, differs]) => make('tr', { className: differs ? 'differs' : '' }, ...[key, value, differs ? usual : ''].map(textContent => make('td', { textContent })))))
}

function update() {
  if (lens) {
    lens.set(shape, thetas[view.at])
    const s = RUN.snapshots[view.at]
    $('epoch').textContent = `epoch ${s.epoch}${s.label ? `, ${s.label}` : ''}`
    $('when').value = view.at
    $('when').setAttribute('aria-valuetext', $('epoch').textContent)
  }
  drawMap()
  drawCurves()
  if (lens || ['confusion', 'calibration', 'wrong', 'projection'].includes(view.tab)) details[view.tab]?.()
  $('theme').textContent = isDark() ? '☀ light' : '☾ dark'
  clearTimeout(update.timer)
  update.timer = setTimeout(() => history.replaceState(null, '', `#epoch=${RUN.snapshots[view.at]?.epoch ?? ''}&zoom=${view.zoom}&points=${view.points}&bayes=${view.bayes}${F > 2 ? `&pair=${view.pair}` : ''}${view.theme && `&theme=${view.theme}`}`), 80)
}
function read(text) {
  const q = new URLSearchParams(text.replace(/^#/, '')), allowed = { points: ['test', 'wrong', 'none'], bayes: ['none', 'boundary', 'map'], theme: ['dark', 'light'] }
  for (const name in allowed) if (allowed[name].includes(q.get(name))) view[name] = q.get(name)
  if (['0.5', '1', '2', '4'].includes(q.get('zoom'))) view.zoom = +q.get('zoom')
  const at = RUN.snapshots.findLastIndex(s => s.epoch === +q.get('epoch') && q.get('epoch'))
  if (at >= 0) view.at = at
  const pair = (q.get('pair') ?? '').split(',').map(Number)
  if (F > 2 && pair.length === 2 && pair.every(k => Number.isInteger(k) && k >= 0 && k < F) && pair[0] !== pair[1]) view.pair = pair
  setTheme(view.theme)
}

// What stands still, and what people do.
$('title').textContent = RUN.title
$('lead').textContent = RUN.lead
for (const [label, command] of RUN.commands) {
  const button = make('button', { textContent: 'copy', onclick: () => copy(command, button) })
  $('commands').append(make('div', { className: 'row between' }, make('small', { textContent: label }), button), make('pre', { textContent: command }))
}
$('manifest').textContent = RUN.manifest
if (RUN.playground) { $('toPlayground').href = RUN.playground; $('toPlayground').hidden = false }
const line = (colour, text) => { const i = make('i', { className: 'thin' }); i.style.background = `var(${colour})`; return make('span', {}, i, text) }
$('lines').replaceChildren(line('--train', 'train'), line('--validation', 'validation'), ...(RUN.limit?.nll != null ? [line('--limit', 'Bayes limit')] : []))
$('classes').replaceChildren(...RUN.classes.map((name, k) => { const i = make('i'); i.style.background = COLOURS[k % 10]; return make('span', {}, i, name) }))
const shownParts = [...(lens ? [['units', 'Hidden units'], ['warped', 'Warped plane']] : []), ...(points ? [['wrong', 'Wrong'], ['confusion', 'Confusion'], ['calibration', 'Calibration']] : []), ...(lens ? [['beyond', 'Beyond the data']] : []), ...(points && F > 2 ? [['projection', 'Projection']] : []), ...(lens && points && F > 2 ? [['dependence', 'Partial dependence']] : [])]
for (const name of Object.keys(details)) $(name).hidden = true
if (shownParts.length) { view.tab = shownParts[0][0]; tabs($("tabs"), shownParts, name => { view.tab = name; update() }) }
const choice = new UnitChoice($('units').querySelector('canvas'), [$('unitA'), $('unitB')], update)
if (!isPlane) { $('mapCard').hidden = $('mapOptions').hidden = true }
if (!law || F !== 2) $('bayes').hidden = true
if (!points) $('points').hidden = true
if (!lens) $('save').hidden = true
if (F > 2) {
  $('pair').hidden = false
  for (const [id, k] of [['featureA', 0], ['featureB', 1]]) {
    $(id).replaceChildren(...RUN.features.map((name, value) => make('option', { value, textContent: name })))
    $(id).onchange = () => { const to = +$(id).value; if (to === view.pair[1 - k]) view.pair[1 - k] = view.pair[k]; view.pair[k] = to; $('featureA').value = view.pair[0]; $('featureB').value = view.pair[1]; update() }
  }
  $('dependent').replaceChildren(...RUN.features.map((name, value) => make('option', { value, textContent: name })))
  $('dependent').onchange = update
}
$('when').max = Math.max(0, RUN.snapshots.length - 1)
$('when').oninput = () => { stop(); view.at = +$('when').value; update() }
let player = 0
function stop() { clearInterval(player); player = 0; $('play').textContent = '▶' }
function play() {
  if (player) { stop(); return }
  if (view.at >= RUN.snapshots.length - 1) view.at = 0
  $('play').textContent = '❚❚'
  player = setInterval(() => { if (view.at >= RUN.snapshots.length - 1) { stop(); return } view.at++; update() }, 500)
}
$('play').onclick = play
for (const name of ['points', 'bayes', 'zoom']) $(name).onchange = () => { view[name] = name === 'zoom' ? +$(name).value : $(name).value; update() }
$('filter').oninput = configTable
$('differing').onclick = () => { $('differing').setAttribute('aria-pressed', $('differing').getAttribute('aria-pressed') !== 'true'); configTable() }
$('theme').onclick = () => { view.theme = isDark() ? 'light' : 'dark'; setTheme(view.theme); update() }
$('save').onclick = () => download('weights.json', JSON.stringify({
  format: 'mlplab weights', run: RUN.name, epoch: RUN.snapshots[view.at].epoch,
  model: { in_features: F, hidden: RUN.widths.slice(1, -1), out_features: K, activation: RUN.activation, dropout: RUN.dropout }, state_dict: toState(shape, thetas[view.at]),
}))
canvas.addEventListener('pointermove', e => {
  const [x, y, w, h] = within(canvas, e), [l, r, d, u] = extent(), at = Float32Array.of(l + x / w * (r - l), u - y / h * (u - d)), p = lens.probabilities(embed(at, 1), 1)
  let text = `(${short(at[0])}, ${short(at[1])}): ${[...p].map((v, k) => `${RUN.classes[k]} ${percent(v, 1)}`).join(', ')}`
  if (law && F === 2) { const q = logPosterior(at, 1, law); let k = 0; for (let j = 1; j < K; j++) if (q[j] > q[k]) k = j; text += `; Bayes: ${RUN.classes[k]} ${percent(Math.exp(q[k]), 1)}` }
  $('readout').textContent = text
})
addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return
  if (e.key.toLowerCase() === 'd') $('theme').click()
  else if (e.key === ' ' && e.target.tagName !== 'BUTTON' && isPlane) { play(); e.preventDefault() }
  else if ((e.key === 'ArrowLeft' || e.key === 'ArrowRight') && lens) { stop(); view.at = Math.max(0, Math.min(RUN.snapshots.length - 1, view.at + (e.key === 'ArrowRight' ? 1 : -1))); update() }
})
addEventListener('resize', update)
addEventListener('hashchange', () => { read(location.hash); update() })
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { setTheme(view.theme); update() })
read(location.hash)
for (const name of ['points', 'bayes', 'zoom']) $(name).value = view[name]
if (F > 2) { $('featureA').value = view.pair[0]; $('featureB').value = view.pair[1] }
figures()
configTable()
update()
