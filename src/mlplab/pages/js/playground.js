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
const choiceOf = (choices, more = []) => make('select', {}, ...[...choices, ...more].map(choice => make('option', { value: choice, textContent: choice === 'own' ? 'your points' : choice.replace('_', ' ') })))
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
