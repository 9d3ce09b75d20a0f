'use strict'
// The playground's own: controls from the table of keys, the engine in a worker, and what it sends put on the page.

const LAB = JSON.parse($('data').textContent)
let experiment = new Experiment(LAB, location.hash)
let worker = null, id = 0, playing = false, dirty = true, settings = [], loaded = null
// What the engine has said of the networks so far.
let engine = {}
let tab = 'units'

// The engine: this page's own scripts up to colours.js, and the worker's, as one text.
function spawn() {
  const own = [...document.querySelectorAll('script')].filter(s => !s.src && !s.type).slice(0, 6).map(s => s.textContent)
  worker = new Worker(URL.createObjectURL(new Blob([[...own, $('worker').textContent].join('\n')], { type: 'text/javascript' })))
  worker.onmessage = ({ data }) => { if (data.id === id) heard[data.type]?.(data) }
}
const send = message => worker.postMessage({ id, ...message })
const count = () => experiment.columns * experiment.rows
const isOne = () => count() === 1 || experiment.view.open === 1
const resolutionOf = n => (n <= 1 ? 128 : n <= 16 ? 72 : n <= 64 ? 44 : 26)
function viewMessage() {
  const { limit, pick, speed } = experiment.view
  return { index: pick, one: isOne(), limit, speed, resolution: resolutionOf(count()), large: 128, bayesResolution: 96, epoch: engine.past ?? null, ...tone() }
}

function restart(play = false) {
  if (experiment.view.pick >= count()) experiment.view.pick = 0
  setPlaying(false)
  settings = []
  engine = { maps: [], histories: [], limits: [], best: [], fresh: {}, epochs: [0], past: null, theta: null, about: null, bayes: null, epoch: 0, diverged: [] }
  const refusal = experiment.refusal()
  $('error').textContent = [...experiment.problems, refusal].filter(Boolean).join('. ')
  id++
  if (!refusal) {
    settings = experiment.members()
    rest = 0
    send({ type: 'start', settings, view: viewMessage(), weights: loaded && settings.length === 1 ? loaded : null })
    if (play) setPlaying(true)
  }
  controls()
  address()
  dirty = true
}

const heard = {
  ready(m) { Object.assign(engine, { limits: m.limits, perEpoch: m.perEpoch, sizes: m.sizes, wasm: m.wasm }); figures() },
  about(m) { engine.about = m; dirty = true },
  bayes(m) {
    engine.bayes = m.probabilities ? { ...m, segments: boundaries(m.probabilities, m.resolution, m.classes) } : null
    dirty = true
  },
  epoch(m) {
    (engine.histories[m.index] ??= []).push(m.row)
    engine.best[m.index] = m.best
    engine.diverged[m.index] = m.diverged
    engine.stale = true
  },
  fresh(m) { engine.fresh[m.index] = m; engine.stale = true },
  snapshots(m) { engine.epochs = m.epochs; slider() },
  frame(m) {
    for (const { index, resolution, pixels } of m.maps) { engine.maps[index] = bitmap(pixels, resolution, engine.maps[index]); moved.add(index) }
    if (m.index === experiment.view.pick) { engine.theta = m.theta; engine.epoch = m.epoch; engine.step = m.step }
    engine.steps = m.steps
    engine.drawn = (engine.drawn ?? 0) + m.maps.length
    if (isOne()) dirty = true
    engine.wanting = true
    slider()
  },
  done() { setPlaying(false); engine.stale = true },
}

function setPlaying(on) {
  if (on && !settings.length) return
  playing = on
  if (on && engine.past !== null) { engine.past = null; send({ type: 'view', view: viewMessage() }) }
  $('play').textContent = on ? '❚❚ Pause' : '▶ Train'
  if (worker && id) send({ type: 'play', on })
}

// Controls.
function field(label, input) {
  const name = `f${field.number = (field.number ?? 0) + 1}`
  input.id = name
  return make('div', { className: 'field' }, make('label', { textContent: label, htmlFor: name }), input)
}
function change(name, text, input) {
  const value = parsed(name, text)
  input.setAttribute('aria-invalid', value === undefined)
  if (value === undefined) return
  experiment.choose(name, value)
  const { values } = experiment, each = values['model.activation']
  // A list of activations follows the number of layers.
  if (Array.isArray(each) && /model.(depth|hidden)/.test(name)) values['model.activation'] = layers() > 1 ? Array.from({ length: layers() }, (_, l) => each[l] ?? each.at(-1)) : each[0]
  experiment.problems = []
  loaded = null
  restart(playing)
}
const choiceOf = (choices, more = []) => make('select', {}, ...[...choices, ...more].map(choice => make('option', { value: choice, textContent: choice === 'own' ? 'own points' : choice.replace('_', ' ') })))
const layers = () => hiddenOf(experiment.setting().model).length
function controls() {
  const active = document.activeElement?.dataset?.key
  const groups = {}
  for (const [name, spec] of Object.entries(KEYS)) {
    if (!experiment.has(name) ) continue
    const swept = [experiment.x?.key, experiment.y?.key].includes(name), value = experiment.values[name]
    let input
    if (spec.kind === 'choice') {
      input = choiceOf(spec.choices, name === 'model.activation' && layers() > 1 ? ['layer by layer'] : [])
      input.value = Array.isArray(value) ? 'layer by layer' : value.name ?? value
      input.onchange = () => change(name, input.value === 'layer by layer' ? written(Array(layers()).fill(value)) : input.value, input)
    } else {
      input = make('input', { type: 'text', value: value === null ? '' : written(value).replace(/^\[|\]$/g, ''), inputMode: spec.kind === 'list' ? 'text' : 'decimal', placeholder: spec.kind === 'list' ? 'as 16,16' : '' })
      input.onchange = () => change(name, input.value, input)
      input.onkeydown = e => {
        const by = { ArrowUp: 1, ArrowDown: -1 }[e.key]
        if (!by || spec.kind === 'list') return
        const now = experiment.values[name], next = spec.log ? (now || 1e-5) * 10 ** (by / 4) : spec.kind === 'integer' ? now + by * (now >= 64 ? 16 : 1) : now + by * (spec.step ?? 0.1)
        change(name, String(Math.min(spec.max, Math.max(spec.min, +next.toPrecision(3)))), input)
        e.preventDefault()
      }
    }
    input.dataset.key = name
    input.disabled = swept
    if (swept) input.title = 'set by the mosaic'
    const fields = groups[spec.group] ??= []
    fields.push(field(spec.label, input))
    if (name === 'model.activation' && Array.isArray(value)) value.forEach((own, l) => {
      const select = choiceOf(spec.choices)
      select.value = own.name ?? own
      select.dataset.key = `layer ${l + 1}`
      select.onchange = () => change(name, written(value.with(l, select.value)), select)
      fields.push(field(`of hidden layer ${l + 1}`, select))
    })
  }
  const open = Object.fromEntries([...$('groups').querySelectorAll('details')].map(d => [d.dataset.group, d.open]))
  const wide = matchMedia('(min-width: 761px)').matches
  $('groups').replaceChildren(...Object.entries(groups).map(([name, fields]) => {
    const card = make('details', { className: 'card', open: open[name] ?? wide }, make('summary', { textContent: name }), ...fields)
    card.dataset.group = name
    card.style.marginTop = '10px'
    if (name === 'Data' && experiment.values.data === 'own') card.append(ownPoints())
    return card
  }))
  if (active) document.querySelector(`[data-key="${active}"]`)?.focus()
  const n = count()
  $('nets').replaceChildren(...[1, 16, 64, 256].map(size => {
    const button = make('button', { textContent: size === 1 ? 'one' : size, onclick: () => networks(size) })
    button.setAttribute('aria-pressed', n === size)
    return button
  }))
  $('axes').replaceChildren(...(n > 1 || experiment.x ? ['x', 'y'].map(axisControl) : []))
  for (const name of ['bayes', 'limit', 'speed', 'split']) $(name).value = experiment.view[name]
  if (!$('limit').value) { $('limit').append(make('option', { value: experiment.view.limit, textContent: `±${experiment.view.limit}` })); $('limit').value = experiment.view.limit }
  document.body.dataset.bayes = isOne() ? experiment.view.bayes : ''
  $('back').hidden = !(n > 1 && experiment.view.open)
  const K = settings.length ? classesOf(settings[experiment.view.pick].data) : 0
  $('classes').replaceChildren(...Array.from({ length: K }, (_, k) => { const i = make('i'); i.style.background = COLOURS[k % 10]; return make('span', {}, i, `class ${k}`) }), ...(isOne() ? [] : legendBorders()))
  $('theme').textContent = isDark() ? '☀ light' : '☾ dark'
}
function axisControl(axis) {
  const now = experiment[axis], select = make('select', {}, make('option', { value: '', textContent: 'nothing' }), ...SWEPT.filter(name => experiment.has(name)).map(name => make('option', { value: name, textContent: KEYS[name].label })))
  select.value = now?.key ?? ''
  select.setAttribute('aria-label', axis === 'x' ? 'What changes to the right' : 'What changes downwards')
  const side = Math.round(Math.sqrt(Math.max(16, count())))
  select.onchange = () => { experiment[axis] = select.value ? sweepOf(select.value, side) : null; sides(); restart(playing) }
  const input = make('input', { type: 'text', value: now ? now.values.map(written).join(',') : '' })
  input.setAttribute('aria-label', `Values ${axis === 'x' ? 'to the right' : 'downwards'}`)
  input.onchange = () => {
    const before = experiment[axis]
    experiment.problems = []
    experiment.readAxis(axis, `${experiment.labKey(select.value)}:${input.value}`)
    input.setAttribute('aria-invalid', !experiment[axis])
    if (!experiment[axis]) { experiment[axis] = before; $('error').textContent = experiment.problems.join('. '); return }
    restart(playing)
  }
  return make('div', { className: 'axis' }, make('div', { className: 'row between' }, make('small', { textContent: axis === 'x' ? '→ to the right' : '↓ downwards' }), select), ...(now ? [input] : []))
}
// Two axes never sweep the same.
function sides() { if (experiment.x && experiment.y && experiment.x.key === experiment.y.key) experiment.y = null }
function networks(size) {
  const side = Math.sqrt(size)
  experiment.view.open = 0
  if (size === 1) experiment.x = experiment.y = null
  else {
    experiment.x = sweepOf(experiment.x?.key ?? 'model.width', side)
    experiment.y = sweepOf(experiment.y?.key ?? 'seed', side)
    sides()
  }
  restart(playing)
}

// Own points: painted on the map, or pasted.
function ownPoints() {
  const area = make('textarea', { rows: 4, placeholder: 'x1,x2,label\n0.5,0.2,0', value: experiment.own.points.map(p => p.map(v => +v.toFixed(3)).join(',')).join('\n') })
  area.setAttribute('aria-label', 'Own points as CSV: x1, x2, label')
  const use = () => {
    const rows = area.value.split('\n').map(line => line.trim()).filter(line => /^[-+.\d]/.test(line)).map(line => line.split(/[,;\t ]+/).map(Number))
    const bad = rows.find(([a, b, k]) => !(Math.abs(a) <= 1e6 && Math.abs(b) <= 1e6 && Number.isInteger(k) && k >= 0 && k < 10))
    if (bad) { $('error').textContent = `A line must be x1,x2,label with labels 0 to 9, not ${bad.join(',')}`; return }
    setPoints(rows)
  }
  const brush = make('select', {}, ...[...Array(10).keys()].map(k => make('option', { value: k, textContent: `class ${k}` })))
  brush.id = 'brush'
  brush.value = ownPoints.brush ?? 0
  brush.onchange = () => { ownPoints.brush = +brush.value }
  brush.setAttribute('aria-label', 'Class to paint')
  return make('div', {}, make('p', { className: 'muted', textContent: 'Drag over the map to paint points of a class, or paste a CSV.' }),
    make('div', { className: 'row' }, brush, make('button', { textContent: 'Clear', onclick: () => setPoints([]) }), make('button', { textContent: 'Save CSV', onclick: () => download('points.csv', csvText(), 'text/csv') })),
    area, make('div', { className: 'row' }, make('button', { textContent: 'Use these points', onclick: use })))
}
const csvText = () => `x1,x2,label\n${experiment.own.points.map(p => p.join(',')).join('\n')}\n`
function setPoints(points) {
  experiment.own = { points, classes: Math.max(2, ...points.map(p => p[2] + 1)) }
  const train = points.length - Math.floor(0.2 * points.length) * 2
  if (experiment.values['data.batch_size'] > train && train > 0) experiment.values['data.batch_size'] = Math.max(1, Math.min(128, train))
  restart(playing)
}
function paintAt(event) {
  const [x, y, w, h] = within(canvas, event), { limit } = experiment.view, points = [...experiment.own.points]
  for (let k = 0; k < 3; k++) points.push([+((x / w * 2 - 1) * limit + (Math.random() - 0.5) * 0.16 * limit).toFixed(3), +((1 - y / h * 2) * limit + (Math.random() - 0.5) * 0.16 * limit).toFixed(3), ownPoints.brush ?? 0])
  experiment.own = { points, classes: Math.max(2, ...points.map(p => p[2] + 1)) }
  engine.about = null
  dirty = true
}

// The stage: one map with its points, or the mosaic.
const canvas = $('stage').querySelector('canvas')
const layout = { cells: [] }, moved = new Set() // cells whose map has changed since it was drawn
function draw() {
  const { c, w, h } = fitted(canvas, $('stage').clientHeight), ink = css('--ink'), muted = css('--muted')
  if (isOne()) {
    const image = engine.maps[experiment.view.pick], { limit, bayes, split } = experiment.view, K = engine.bayes?.classes
    layout.cells = [{ index: experiment.view.pick, x: 0, y: 0, size: w }]
    if (image) drawImage(c, image, 0, 0, w, h)
    const place = (a, b) => [(a / limit + 1) / 2 * w, (1 - b / limit) / 2 * h]
    if (bayes === 'half' && engine.bayes) {
      const x = split / 100 * w
      engine.bayes.image ??= {}
      const shade = isDark() ? 'dark' : 'light'
      engine.bayes.image[shade] ??= bitmap(mapPixels(engine.bayes.probabilities, engine.bayes.resolution, K, tone()), engine.bayes.resolution)
      c.save(); c.beginPath(); c.rect(x, 0, w - x, h); c.clip(); drawImage(c, engine.bayes.image[shade], 0, 0, w, h); c.restore()
      c.strokeStyle = ink; c.lineWidth = 2; c.beginPath(); c.moveTo(x, 0); c.lineTo(x, h); c.stroke()
      c.font = '12px system-ui, sans-serif'; c.fillStyle = ink
      c.textAlign = 'right'; if (x > 60) c.fillText('network', x - 8, h - 8)
      c.textAlign = 'left'; if (x < w - 50) c.fillText('Bayes', x + 8, h - 8)
    }
    const points = experiment.values.data === 'own' ? pointsFrom(experiment.own.points) : engine.about?.train
    if (points) drawPoints(c, points, place, { radius: Math.max(1.8, w / 260) })
    if (bayes === 'boundary' && engine.bayes) drawSegments(c, engine.bayes.segments, engine.bayes.resolution, 0, 0, w, { colour: ink, width: 1.3 })
    c.font = '11.5px system-ui, sans-serif'; c.fillStyle = muted; c.textAlign = 'left'
    for (const v of ticks(-limit, limit, 4)) { if (Math.abs(v) < limit) { const [x, y] = place(v, v); c.fillText(v, x + 2, h - 4); if (v) c.fillText(v, 3, y - 2) } }
    return
  }
  const { columns, rows } = experiment, top = 34, left = rows > 1 ? 46 : 8, size = Math.min((w - left - 6) / columns, (h - top - 6) / rows), gap = Math.max(2, size * 0.05)
  const x0 = left + (w - left - 6 - size * columns) / 2, y0 = top
  layout.cells = []
  c.font = '12px system-ui, sans-serif'; c.fillStyle = muted; c.textAlign = 'center'
  if (experiment.x) {
    c.fillText(KEYS[experiment.x.key].label, x0 + size * columns / 2, 12)
    experiment.x.values.forEach((v, k) => { if (k % Math.ceil(34 / size) === 0) c.fillText(nameOf(v), x0 + (k + 0.5) * size, 28, size * Math.ceil(34 / size)) })
  }
  if (experiment.y) {
    c.save(); c.translate(11, y0 + size * rows / 2); c.rotate(-Math.PI / 2); c.fillText(KEYS[experiment.y.key].label, 0, 0); c.restore()
    c.textAlign = 'right'
    experiment.y.values.forEach((v, k) => { if (k % Math.ceil(14 / size) === 0) c.fillText(nameOf(v), x0 - 5, y0 + (k + 0.5) * size + 4, left - 18) })
  }
  for (let index = 0; index < columns * rows; index++) {
    layout.cells.push({ index, x: x0 + index % columns * size, y: y0 + Math.floor(index / columns) * size, size: size - gap, edge: Math.max(1.5, size * 0.03) })
    drawCell(c, index)
  }
}
function drawCell(c, index) {
  const { x, y, size, edge } = layout.cells[index], image = engine.maps[index]
  c.fillStyle = borderColour(index)
  c.fillRect(x, y, size, size)
  if (image) c.drawImage(image, x + edge, y + edge, size - 2 * edge, size - 2 * edge)
  if (engine.diverged[index]) { c.fillStyle = css('--ink'); c.font = '12px system-ui, sans-serif'; c.textAlign = 'center'; c.fillText('diverged', x + size / 2, y + size / 2 + 4, size) }
  if (index === experiment.view.pick) { c.strokeStyle = css('--ink'); c.lineWidth = 2; c.strokeRect(x + 1, y + 1, size - 2, size - 2) }
}
const nameOf = v => (typeof v === 'number' ? short(v) : Array.isArray(v) ? v.join('-') : typeof v === 'object' ? v.name : String(v).replace('_', ' '))
// Regret on validation points in nats: none dark blue, much pale; where the limit is not known, the NLL itself.
function regretOf(index) {
  const row = engine.histories[index]?.at(-1)
  return row?.validation ? row.validation.nll - (engine.limits[index]?.nll ?? 0) : null
}
function borderColour(index) {
  const regret = regretOf(index)
  if (engine.diverged[index]) return css('--ink')
  return regret === null ? css('--line') : regretColour(regret)
}
function regretColour(regret) {
  const t = Math.max(0, Math.min(1, (Math.log10(Math.max(regret, 1e-4)) + 2.3) / 2.5)), good = [24, 130, 90], bad = [214, 66, 46], middle = [232, 190, 70]
  const [a, b, s] = t < 0.5 ? [good, middle, 2 * t] : [middle, bad, 2 * t - 1]
  return `rgb(${a.map((v, k) => Math.round(v + s * (b[k] - v)))})`
}

// The network looked at.
let lens = null
function shapeOf(index) {
  const s = settings[index]
  return new Shape([2, ...hiddenOf(s.model), classesOf(s.data)], s.model.activation, s.model.dropout)
}
function look() {
  const { pick } = experiment.view
  if (!settings.length || !engine.theta) return null
  const shape = shapeOf(pick)
  if (engine.theta.length !== shape.size) return null
  if (lens) lens.set(shape, engine.theta); else lens = new Lens(shape, engine.theta)
  units.fit(shape)
  return lens
}
const extent = () => { const l = experiment.view.limit; return [-l, l, -l, l] }
const units = new UnitChoice($('units').querySelector('canvas'), [$('unitA'), $('unitB')], () => details())
function details() {
  const seen = look()
  if (!seen) return
  if (tab === 'units') units.draw(seen, extent())
  if (tab === 'warped' && seen.shape.depth && engine.about) drawWarped($('warped').querySelector('canvas'), seen, extent(), engine.about.train, units.chosen)
  const points = engine.about?.test
  if (tab === 'confusion' && points?.count) {
    const K = seen.shape.widths.at(-1), counts = confusion(seen.probabilities(points.x, points.count), points, K)
    $('confusion').querySelector('.scroll').replaceChildren(confusionTable(counts, counts.map((_, k) => `class ${k}`)))
  }
}
function figures() {
  const { pick } = experiment.view, history = engine.histories[pick] ?? [], at = engine.past === null ? history.at(-1) : history.findLast(r => r.epoch <= engine.past)
  if (!settings.length) { $('which').textContent = ''; $('stats').replaceChildren(); return }
  const shape = shapeOf(pick), limit = engine.limits[pick], fresh = engine.past === null ? engine.fresh[pick] : null
  $('which').textContent = `${shape.widths.join('–')} ${[...new Set(shape.activations.map(a => nameOf(a.name)))].join(', ')}, ${shape.size.toLocaleString('en')} parameters${count() > 1 ? `, network ${pick + 1} of ${count()}` : ''}`
  const values = fresh?.now ?? at?.validation, bayes = fresh ? fresh.limit : limit, part = fresh ? `${fresh.points.toLocaleString('en')} ${fresh.part} points` : 'validation points'
  const stat = (name, value, below) => make('div', {}, make('dt', { textContent: name }), make('dd', { textContent: value }, make('small', { className: 'muted', textContent: below })))
  $('stats').replaceChildren(
    stat('accuracy', percent(values?.accuracy), bayes ? `Bayes ${percent(bayes.accuracy)}` : 'no known limit'),
    stat('NLL', short(values?.nll), bayes ? `Bayes ${short(bayes.nll)}` : 'nats'),
    stat('regret', bayes && values ? short(values.nll - bayes.nll) : '–', bayes && values ? `${(100 * (bayes.accuracy - values.accuracy)).toFixed(2)} points` : 'of NLL'))
  $('stats').title = `on ${part}`
  const best = engine.best[pick]
  $('epochs').textContent = `epoch ${engine.epoch}${best?.epoch > 0 && isOne() ? `, best ${best.epoch}` : ''}`
  chart($('loss'), {
    series: [{ points: history.map(r => [r.epoch, r.loss]), colour: css('--train') }, { points: history.filter(r => r.validation).map(r => [r.epoch, r.validation.nll]), colour: css('--validation') }],
    lines: limit ? [{ y: limit.nll, label: 'Bayes limit' }] : [], log: true, x: 'epoch', y: 'NLL', height: 178, cursor: engine.past,
  })
}
// What the colours of the mosaic's borders mean.
function legendBorders() {
  const entry = (colour, text) => { const i = make('i'); i.style.background = colour; return make('span', {}, i, text) }
  return [make('span', { textContent: 'border: regret in NLL' }), ...[0.005, 0.1, 1.5].map(v => entry(regretColour(v), `${v}`))]
}
function legendLines() {
  const line = (colour, text) => { const i = make('i', { className: 'thin' }); i.style.background = `var(${colour})`; return make('span', {}, i, text) }
  $('lines').replaceChildren(line('--train', 'train'), line('--validation', 'validation'), line('--limit', 'Bayes limit'))
}
function slider() {
  const when = $('when')
  when.max = engine.epochs.length - 1
  if (engine.past === null) when.value = when.max
  when.setAttribute('aria-valuetext', `epoch ${engine.epochs[when.value] ?? 0}`)
}
function address() {
  clearTimeout(address.timer)
  address.timer = setTimeout(() => { const text = experiment.address(); address.own = text; history.replaceState(null, '', text === '#' ? location.pathname + location.search : text) }, 80)
  $('command').textContent = experiment.command()
}

// What people do.
function setView(part, { rebuild = false } = {}) {
  Object.assign(experiment.view, part)
  if (rebuild) controls()
  if (settings.length) send({ type: 'view', view: viewMessage() })
  address()
  dirty = engine.stale = true
}
function open(index) { engine.bayes = engine.about = engine.theta = null; setView({ pick: index, open: 1 }, { rebuild: true }) }
function select(index) { if (index < 0 || index >= count()) return; engine.bayes = engine.about = engine.theta = null; setView({ pick: index }, { rebuild: true }) }
const closeOne = () => { if (count() > 1) setView({ open: 0 }, { rebuild: true }) }
const acts = {
  ' ': () => setPlaying(!playing),
  s: () => { setPlaying(false); engine.past = null; send({ type: 'view', view: viewMessage() }); send({ type: 'advance' }) },
  e: () => { setPlaying(false); engine.past = null; send({ type: 'view', view: viewMessage() }); send({ type: 'advance', epoch: true }) },
  r: () => restart(false),
  d: () => { experiment.view.theme = isDark() ? 'light' : 'dark'; themed() },
  escape: closeOne,
}
function themed() { setTheme(experiment.view.theme); if (engine.bayes) engine.bayes.image = null; setView({}, { rebuild: true }) }
for (const [name, key] of Object.entries({ play: ' ', step: 's', epoch: 'e', reset: 'r', theme: 'd', back: 'escape' })) $(name).onclick = acts[key]
addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return
  if (e.target.tagName === 'BUTTON' && e.key === ' ') return
  const act = acts[e.key.toLowerCase()]
  if (act) { act(); e.preventDefault() }
})
$('stage').addEventListener('keydown', e => {
  const { pick } = experiment.view, { columns } = experiment
  const to = { ArrowRight: pick + 1, ArrowLeft: pick - 1, ArrowDown: pick + columns, ArrowUp: pick - columns }[e.key]
  if (to !== undefined && count() > 1) { select(to); e.preventDefault() }
  if (e.key === 'Enter' && !isOne()) open(pick)
})
let painting = false
canvas.addEventListener('pointerdown', e => {
  if (e.button) return
  if (experiment.values.data === 'own' && isOne()) { painting = true; canvas.setPointerCapture(e.pointerId); paintAt(e); e.preventDefault(); return }
  const cell = cellAt(e)
  if (cell && !isOne()) open(cell.index)
})
const cellAt = e => { const [x, y] = within(canvas, e); return layout.cells.find(b => x >= b.x && y >= b.y && x < b.x + b.size && y < b.y + b.size) }
canvas.addEventListener('pointermove', e => {
  if (painting) { paintAt(e); return }
  const cell = cellAt(e)
  if (!cell || !settings.length) return
  const [x, y] = within(canvas, e)
  if (!isOne()) {
    const regret = regretOf(cell.index), words = [experiment.x, experiment.y].map((axis, k) => axis && `${KEYS[axis.key].label} ${nameOf(axis.values[k ? Math.floor(cell.index / experiment.columns) : cell.index % experiment.columns])}`).filter(Boolean)
    $('readout').textContent = `${words.join(', ')}: ${regret === null ? 'not trained yet' : `validation accuracy ${percent(engine.histories[cell.index].at(-1).validation.accuracy)}, regret ${short(regret)}`}`
    return
  }
  const { limit } = experiment.view, at = Float32Array.of(((x - cell.x) / cell.size * 2 - 1) * limit, (1 - (y - cell.y) / cell.size * 2) * limit), seen = look()
  if (!seen) return
  const p = seen.probabilities(at, 1)
  let text = `(${at[0].toFixed(2)}, ${at[1].toFixed(2)}): ${[...p].map((v, k) => `class ${k} ${percent(v, 1)}`).join(', ')}`
  if (engine.bayes) {
    const R = engine.bayes.resolution, cellOf = v => Math.max(0, Math.min(R - 1, Math.floor((v / engine.bayes.limit + 1) / 2 * R))), place = cellOf(at[1]) * R + cellOf(at[0]), k = likeliest(engine.bayes.probabilities, R * R, place, engine.bayes.classes)
    text += `; Bayes: class ${k} ${percent(engine.bayes.probabilities[k * R * R + place], 1)}`
  }
  $('readout').textContent = text
})
for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, () => { if (painting) { painting = false; setPoints(experiment.own.points) } })
$('when').oninput = () => {
  if (playing) setPlaying(false)
  const last = +$('when').value === engine.epochs.length - 1
  engine.past = last ? null : engine.epochs[+$('when').value]
  send({ type: 'view', view: viewMessage() })
  engine.stale = true
}
$('bayes').onchange = () => setView({ bayes: $('bayes').value }, { rebuild: true })
$('limit').onchange = () => { engine.bayes = null; setView({ limit: +$('limit').value }); restart(playing) }
$('speed').onchange = () => setView({ speed: $('speed').value })
$('split').oninput = () => setView({ split: +$('split').value })
$('copy').onclick = () => copy(experiment.command(), $('copy'))
$('link').onclick = () => { copy(location.href.split('#')[0] + experiment.address(), $('link')) }
$('save').onclick = () => {
  if (!engine.theta) return
  const { pick } = experiment.view, shape = shapeOf(pick), s = settings[pick]
  download('weights.json', JSON.stringify({
    format: 'mlplab weights', epoch: engine.epoch, command: experiment.command(),
    model: { in_features: 2, hidden: shape.widths.slice(1, -1), out_features: shape.widths.at(-1), activation: typeof s.model.activation === 'string' ? s.model.activation : { ...s.model.activation }, dropout: s.model.dropout },
    state_dict: toState(shape, engine.theta),
  }))
}
$('load').onchange = async () => {
  const file = $('load').files[0]
  $('load').value = ''
  if (file) takeWeights(await file.text())
}
function takeWeights(text) {
  try {
    const node = JSON.parse(text), { widths, theta } = fromState(node.state_dict ?? node)
    const activation = parsed('model.activation', written(node.model?.activation ?? experiment.values['model.activation']))
    if (widths[0] !== 2) throw new RangeError(`the network must take two features, not ${widths[0]}`)
    experiment.x = experiment.y = null
    if (activation !== undefined) experiment.choose('model.activation', activation)
    experiment.choose('model.hidden', widths.slice(1, -1))
    if (PROBLEMS[experiment.values.data]?.classes) experiment.choose('data.classes', widths.at(-1))
    if (classesOf(experiment.setting().data) !== widths.at(-1)) throw new RangeError(`the network tells ${widths.at(-1)} classes apart, the data set has ${classesOf(experiment.setting().data)}`)
    loaded = theta
    experiment.problems = []
    restart(false)
  } catch (error) { $('error').textContent = `These weights cannot be read: ${error.message}` }
}
tabs($('tabs'), [['units', 'Hidden units'], ['warped', 'Warped plane'], ['confusion', 'Confusion']], name => { tab = name; details() })
function lesson(k) {
  const [name, options, story] = LESSONS[k], theme = experiment.view.theme
  experiment = new Experiment({ ...LAB, start: {} }, options)
  experiment.view.theme = theme
  loaded = null
  $('story').textContent = story
  restart(true)
  ;[...$('lessons').children].forEach((b, j) => b.setAttribute('aria-pressed', j === k))
}
$('lessons').replaceChildren(...LESSONS.map(([name], k) => make('button', { textContent: `${k + 1}. ${name}`, onclick: () => lesson(k) })))
addEventListener('hashchange', () => { if (location.hash === address.own) return; experiment = new Experiment(LAB, location.hash); setTheme(experiment.view.theme); restart(false) })
addEventListener('resize', () => { dirty = engine.stale = true; details() })
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', themed)

// One frame: what has changed is drawn; figures and units a few times a second. A page that falls behind asks the
// engine to rest between its slices.
let lastDetails = 0, lastPace = 0, framesThen = 0, rest = 0
function tick(now) {
  if (dirty) { dirty = false; moved.clear(); draw() }
  else if (moved.size) {
    if (layout.cells.length === count()) for (const index of moved) drawCell(canvas.getContext('2d'), index)
    moved.clear()
  }
  if ((engine.stale || engine.wanting) && now - lastDetails >= (isOne() ? 250 : 500)) { lastDetails = now; engine.stale = engine.wanting = false; figures(); details() }
  tick.frames = (tick.frames ?? 0) + 1
  if (now - lastPace > 400) {
    const rate = 1000 * (tick.frames - framesThen) / (now - lastPace), next = Math.max(0, Math.min(12, rest + (rate < 57 ? 2 : -1)))
    if (playing && next !== rest) send({ type: 'pace', rest: rest = next })
    lastPace = now; framesThen = tick.frames
  }
  requestAnimationFrame(tick)
}
setTheme(experiment.view.theme)
legendLines()
$('story').textContent = 'Press Train. Every network here is the lab’s own: the same points, initial weights and minibatches as the command below gives.'
spawn()
restart(false)
requestAnimationFrame(tick)
