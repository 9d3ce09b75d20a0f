'use strict'
// What is trained, as the lab's own keys: from and to the address, to a command, and to one setting a network.

const LESSONS = [
  ['A line cannot', 'model.depth=0', 'Without a hidden layer the plane is cut by straight lines only, and no straight line follows an arm.'],
  ['One hidden layer', 'model.width=128&model.depth=1', 'Each hidden unit adds one fold; with 128 of them the lines begin to turn with the arms.'],
  ['Deeper, not wider', 'x=model.hidden:[143],[30,28],[22,20,19],[18,17,17,15]&y=seed:0,1,2,3&optimizer.lr=0.003',
    'Four shapes of about 1000 parameters each: folding folds, the deeper ones follow the arms where the wide one is still coarse.'],
  ['Too large a step', 'x=optimizer.lr:0.001,0.01,0.1,1&y=seed:0,1,2,3&model.width=32&model.depth=2',
    'The learning rate grows to the right: first learning is faster, then it never settles.'],
  ['Too few points', 'x=data.points_per_arm:10,25,100,1000&y=seed:0,1,2,3&data.batch_size=32&model.width=64&model.depth=2&optimizer.lr=0.005',
    'With few points the train loss still falls to zero, while the distance to the Bayes limit does not.'],
  ['Beyond the data', 'model.width=64&model.depth=2&optimizer.lr=0.005&limit=6',
    'Outside the square of the data the boundaries continue as straight rays, and the network is confident where it has no data.'],
]

// Key: label, kind, range or choices, where it stands. Keys are the lab's; data.classes and data.points stand for
// what the data set calls them.
const KEYS = {
  'data': { label: 'Data set', kind: 'choice', choices: ['spiral', 'circles', 'moons', 'xor', 'blobs', 'own'], group: 'Data' },
  'data.classes': { label: 'Classes', kind: 'integer', min: 1, max: 10, group: 'Data' },
  'data.points': { label: 'Points of each class', kind: 'integer', min: 5, max: 5000, group: 'Data', sweep: [25, 50, 100, 200, 400, 800, 1600, 3200] },
  'data.noise': { label: 'Noise', kind: 'number', min: 0, max: 2, step: 0.02, group: 'Data', sweep: [0.02, 0.04, 0.08, 0.16, 0.24, 0.32, 0.48, 0.64] },
  'data.t_max': { label: 'Arms end at t', kind: 'number', min: 0.1, max: 5, step: 0.1, group: 'Data' },
  'data.rotation_degrees': { label: 'Turn, degrees', kind: 'number', min: -180, max: 180, step: 5, group: 'Data' },
  'data.seed': { label: 'Seed of the points', kind: 'integer', min: 0, max: 1e9, group: 'Data', sweep: 'count' },
  'model.width': { label: 'Width', kind: 'integer', min: 1, max: 512, group: 'Network', sweep: [2, 4, 8, 16, 24, 32, 48, 64] },
  'model.depth': { label: 'Hidden layers', kind: 'integer', min: 0, max: 8, group: 'Network', sweep: [1, 2, 3, 4, 5, 6, 7, 8] },
  'model.hidden': { label: 'Widths layer by layer', kind: 'list', group: 'Network', sweep: [[143], [30, 28], [22, 20, 19], [18, 17, 17, 15]] },
  'model.activation': { label: 'Activation', kind: 'choice', choices: Object.keys(ACTIVATIONS), group: 'Network', sweep: Object.keys(ACTIVATIONS) },
  'model.dropout': { label: 'Dropout', kind: 'number', min: 0, max: 0.95, step: 0.05, group: 'Network', sweep: [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6] },
  'model.initialization': { label: 'Initial weights', kind: 'choice', choices: ['default', 'kaiming', 'xavier'], group: 'Network' },
  'optimizer': { label: 'Optimiser', kind: 'choice', choices: Object.keys(OPTIMIZERS), group: 'Training' },
  'optimizer.lr': { label: 'Learning rate', kind: 'number', min: 0, max: 100, group: 'Training', log: true, sweep: [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1] },
  'optimizer.momentum': { label: 'Momentum', kind: 'number', min: 0, max: 0.999, step: 0.05, group: 'Training' },
  'optimizer.weight_decay': { label: 'Weight decay', kind: 'number', min: 0, max: 100, log: true, group: 'Training', sweep: [0, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1] },
  'schedule': { label: 'Schedule', kind: 'choice', choices: Object.keys(SCHEDULES), group: 'Training' },
  'data.batch_size': { label: 'Minibatch', kind: 'integer', min: 1, max: 4096, group: 'Training', sweep: [16, 32, 64, 96, 128, 256, 512, 1024] },
  'trainer.max_epochs': { label: 'Epochs', kind: 'integer', min: 1, max: 10000, group: 'Training' },
  'seed': { label: 'Seed', kind: 'integer', min: 0, max: 1e9, group: 'Training', sweep: 'count' },
}
const VIEW = { limit: 2, pick: 0, bayes: 'boundary', split: 50, speed: 'normal', theme: '', open: 0 }
const SWEPT = Object.keys(KEYS).filter(name => KEYS[name].sweep)

// The lab's defaults, from the page's data: {seed, data: {spiral: {...}}, model, optimizer: {adam: {...}}, schedule,
// trainer, usual: {data: 'spiral', ...}}.
class Experiment {
  constructor(lab, text = '') {
    this.lab = lab
    this.values = {}
    this.view = { ...VIEW }
    this.x = this.y = null // {key, values}
    this.own = { points: [], classes: 2 }
    this.problems = []
    this.choose('data', 'data' in lab.start ? lab.start.data : lab.usual.data)
    this.values.seed = lab.seed
    for (const name of ['width', 'depth', 'hidden', 'activation', 'dropout', 'initialization']) this.values[`model.${name}`] = lab.model[name]
    this.choose('optimizer', lab.usual.optimizer)
    this.values.schedule = lab.usual.schedule
    this.values['trainer.max_epochs'] = lab.trainer.max_epochs
    this.read(lab.start)
    this.begun = { ...this.values }
    this.read(Object.fromEntries(new URLSearchParams(text.replace(/^#/, ''))))
  }
  // Take a value; another data set or optimiser brings its own defaults.
  choose(name, value) {
    const { values, lab } = this
    if (name === 'data') {
      const node = lab.data[value] ?? lab.data.spiral, names = PROBLEMS[value] ?? PROBLEMS.spiral
      values.data = value
      values['data.classes'] = names.classes ? node[names.classes] : 2
      values['data.points'] = node[names.points]
      for (const key of ['noise', 'seed', 'batch_size']) values[`data.${key}`] = node[key]
      values['data.t_max'] = node.t_max ?? 1
      values['data.rotation_degrees'] = node.rotation_degrees ?? 0
    } else if (name === 'optimizer') {
      values.optimizer = value
      const node = lab.optimizer[value]
      values['optimizer.lr'] = node.lr
      values['optimizer.weight_decay'] = node.weight_decay
      values['optimizer.momentum'] = node.momentum ?? 0
    } else values[name] = value
    if (name === 'model.width' || name === 'model.depth') values['model.hidden'] = null
  }
  // Keys that the chosen data set, optimiser and network have.
  has(name) {
    const { data, optimizer } = this.values, problem = PROBLEMS[data]
    if (name === 'data.classes') return !!problem?.classes
    if (['data.t_max', 'data.rotation_degrees'].includes(name)) return data === 'spiral'
    if (['data.points', 'data.noise'].includes(name)) return data !== 'own'
    if (name === 'optimizer.momentum') return optimizer === 'sgd'
    return true
  }
  // The name by which the lab knows a key.
  labKey(name) {
    const problem = PROBLEMS[this.values.data] ?? PROBLEMS.spiral
    return name === 'data.classes' ? `data.${problem.classes}` : name === 'data.points' ? `data.${problem.points}` : name
  }
  keyOf(labName) { return Object.keys(KEYS).find(name => this.labKey(name) === labName) }
  // Options as KEY: text. What is no option of the page is left alone; a bad value is reported and changes nothing.
  read(options) {
    this.problems = []
    if (options.points !== undefined) this.readPoints(options.points)
    const order = Object.keys(options).sort((a, b) => (b === 'data' || b === 'optimizer') - (a === 'data' || a === 'optimizer'))
    for (const name of order) {
      if (name in VIEW) this.readView(name, options[name])
      const key = this.keyOf(name)
      if (!key) continue
      const value = parsed(key, String(options[name]))
      if (value === undefined) this.problems.push(`${name} cannot be ${options[name]}`)
      else this.choose(key, value)
    }
    for (const axis of ['x', 'y']) if (options[axis] !== undefined) this.readAxis(axis, options[axis])
  }
  readView(name, text) {
    const value = typeof VIEW[name] === 'number' ? Number(text) : String(text)
    const fine = { limit: value >= 0.5 && value <= 20, split: value >= 0 && value <= 100, pick: Number.isInteger(value) && value >= 0, open: value === 0 || value === 1,
      bayes: ['none', 'boundary', 'half'].includes(value), speed: ['slow', 'normal', 'fast'].includes(value), theme: ['', 'dark', 'light'].includes(value) }
    if (fine[name]) this.view[name] = value
  }
  readAxis(axis, text) {
    this[axis] = null
    if (!text) return
    const [labName, ...rest] = text.split(':'), list = rest.join(':'), key = this.keyOf(labName)
    if (!key || !KEYS[key].sweep) { this.problems.push(`${labName} cannot be swept`); return }
    const values = outsideBrackets(list).map(word => parsed(key, word))
    if (!values.length || values.includes(undefined) || values.length > 16) this.problems.push(`${labName} cannot be ${list}: up to 16 values`)
    else this[axis] = { key, values: [...new Map(values.map(v => [written(v), v])).values()] }
  }
  readPoints(text) {
    const rows = text.split(';').filter(Boolean).map(row => row.split(',').map(Number))
    const points = rows.filter(([a, b, k]) => Math.abs(a) <= 1e6 && Math.abs(b) <= 1e6 && Number.isInteger(k) && k >= 0 && k < 10)
    if (points.length) this.own = { points, classes: Math.max(2, ...points.map(p => p[2] + 1)) }
  }
  // All options that differ from the lab's defaults, as [KEY, text]; for the address also those that differ from the
  // page's start, and how it is looked at.
  words(view = false) {
    const { values } = this, plain = new Experiment.Plain(this.lab, values), out = []
    const swept = [this.x, this.y].filter(Boolean).map(axis => axis.key)
    if (swept.includes('model.width') || swept.includes('model.depth')) swept.push('model.hidden')
    if (swept.includes('model.hidden') || values['model.hidden']) swept.push('model.width', 'model.depth')
    for (const name of Object.keys(KEYS)) {
      if (!this.has(name) || swept.includes(name)) continue
      const text = written(values[name])
      if (text !== written(plain[name]) || (view && text !== written(this.begun[name]))) out.push([this.labKey(name), text])
    }
    if (view) for (const name in VIEW) if (this.view[name] !== VIEW[name]) out.push([name, String(this.view[name])])
    return out
  }
  address() {
    const words = this.words(true)
    for (const axis of ['x', 'y']) if (this[axis]) words.push([axis, `${this.labKey(this[axis].key)}:${this[axis].values.map(written).join(',')}`])
    if (this.values.data === 'own') words.push(['points', this.own.points.map(p => p.map(v => +v.toFixed(2)).join(',')).join(';')])
    // What may stand in a fragment stays readable.
    return '#' + words.map(([name, text]) => `${name}=${encodeURIComponent(text).replace(/%(2C|3A|3B|5B|5D|2F)/g, decodeURIComponent)}`).join('&')
  }
  command() {
    const own = this.values.data === 'own', words = this.words().map(([name, text]) => `${name}=${text}`), axes = [this.x, this.y].filter(Boolean)
    if (own) words.splice(words.findIndex(word => word === 'data=own'), 1, 'data=file', 'data.path=points.csv')
    for (const { key, values } of axes) words.push(`${this.labKey(key)}=${values.map(written).join(',')}`)
    if (axes.some(axis => ['model.width', 'model.depth'].includes(axis.key)) && this.lab.model.hidden) words.push('model.hidden=null')
    return ['scripts/lab train', ...(axes.length ? ['-m'] : []), ...words.map(word => (/^[\w.=,+-]*$/.test(word) ? word : `'${word}'`))].join(' ')
  }
  // One setting a network, row after row of the mosaic.
  members() {
    const columns = this.x?.values ?? [null], rows = this.y?.values ?? [null]
    return rows.flatMap(b => columns.map(a => {
      const one = Object.assign(Object.create(Experiment.prototype), this, { values: { ...this.values } })
      if (this.x) one.choose(this.x.key, a)
      if (this.y) one.choose(this.y.key, b)
      return one.setting()
    }))
  }
  get columns() { return this.x?.values.length ?? 1 }
  get rows() { return this.y?.values.length ?? 1 }
  setting() {
    const v = this.values, node = this.lab.data[v.data] ?? this.lab.data.spiral
    return {
      seed: v.seed, max_epochs: v['trainer.max_epochs'],
      data: {
        name: v.data, classes: v['data.classes'], points: v['data.points'], noise: v['data.noise'], t_min: node.t_min ?? 0, t_max: v['data.t_max'],
        rotation_degrees: v['data.rotation_degrees'], seed: v['data.seed'], batch_size: v['data.batch_size'], drop_last: node.drop_last,
        test_fraction: node.test_fraction, validation_points: node.validation_points, fresh_points: node.fresh_points, own: v.data === 'own' ? this.own : null,
      },
      model: { hidden: v['model.hidden'], width: v['model.width'], depth: v['model.depth'], activation: v['model.activation'], dropout: v['model.dropout'], initialization: v['model.initialization'] },
      optimizer: { name: v.optimizer, lr: v['optimizer.lr'], weight_decay: v['optimizer.weight_decay'], ...(v.optimizer === 'sgd' ? { momentum: v['optimizer.momentum'] } : {}) },
      schedule: { ...this.lab.schedule[v.schedule], name: v.schedule },
    }
  }
  // What stops this experiment from being trained, in a line; '' for nothing.
  refusal() {
    for (const { data, model } of this.members()) {
      const layers = hiddenOf(model).length
      if (Array.isArray(model.activation) && model.activation.length !== layers) return `An activation for each hidden layer means ${layers} of them, not ${model.activation.length}.`
      const all = data.own ? data.own.points.length : data.points * classesOf(data)
      const train = all - Math.floor(data.test_fraction * all) - (data.own ? Math.floor(0.2 * all) : 0)
      if (data.own && all < 10) return 'Paint or paste at least ten points of your own.'
      if (data.batch_size > train) return `The minibatch must hold at most the ${train} points that are trained on, not ${data.batch_size}.`
    }
    return this.columns * this.rows > 256 ? `At most 256 networks at once, not ${this.columns * this.rows}.` : ''
  }
}
// The lab's defaults for the chosen data set and optimiser.
Experiment.Plain = function (lab, values) {
  const one = Object.assign(Object.create(Experiment.prototype), { lab, values: {} })
  one.choose('data', values.data); one.choose('optimizer', values.optimizer)
  Object.assign(this, one.values, { ...lab.usual, seed: lab.seed, 'trainer.max_epochs': lab.trainer.max_epochs })
  for (const name of ['width', 'depth', 'hidden', 'activation', 'dropout', 'initialization']) this[`model.${name}`] = lab.model[name]
}

const written = value => Array.isArray(value) ? `[${value.map(written).join(',')}]` : value === null ? 'null'
  : typeof value === 'object' ? `{${Object.entries(value).map(([k, v]) => `${k}: ${v}`).join(', ')}}` : String(value)
const outsideBrackets = text => text.match(/(\[[^\]]*\]|\{[^}]*\}|[^,])+/g) ?? []

// A key's value from text, undefined where it is not allowed.
function parsed(key, text) {
  const spec = KEYS[key], value = text.trim()
  if (spec.kind === 'list') {
    if (value === 'null' || value === '') return null
    const widths = value.replace(/^\[|\]$/g, '').split(',').filter(w => w.trim() !== '').map(Number)
    return widths.length <= 8 && widths.every(w => Number.isInteger(w) && w >= 1 && w <= 512) ? widths : undefined
  }
  if (spec.kind === 'choice') {
    if (spec.choices.includes(value)) return value
    if (key === 'model.activation' && /^\[.*\]$/.test(value)) {
      const each = outsideBrackets(value.slice(1, -1)).map(word => parsed(key, word))
      return each.includes(undefined) || each.some(Array.isArray) ? undefined : each
    }
    const match = key === 'model.activation' && value.match(/^\{\s*name:\s*(\w+)\s*,?(.*)\}$/)
    if (!match || !spec.choices.includes(match[1])) return undefined
    const given = match[2].split(',').filter(w => w.trim()).map(w => w.split(':').map(t => t.trim()))
    const known = ACTIVATION_ARGUMENTS[match[1]] ?? {}
    return given.every(([name, number]) => name in known && Number.isFinite(Number(number)) && number) ? { name: match[1], ...Object.fromEntries(given.map(([name, number]) => [name, +number])) } : undefined
  }
  const number = Number(value)
  return value !== '' && number >= spec.min && number <= spec.max && (spec.kind === 'number' || Number.isInteger(number)) ? number : undefined
}

// A sweep of a key over some number of values.
function sweepOf(key, count) {
  const { sweep } = KEYS[key]
  if (sweep === 'count') return { key, values: Array.from({ length: count }, (_, k) => k) }
  if (count <= sweep.length) return { key, values: count === 4 && sweep.length === 8 ? [1, 3, 5, 7].map(k => sweep[k]) : sweep.slice(0, count) }
  if (typeof sweep[0] !== 'number') return { key, values: sweep }
  // Twice as many: a value between each two, geometric where all are positive.
  const between = sweep.flatMap((v, k) => {
    const next = sweep[k + 1] ?? (v > 0 ? v * v / (sweep[k - 1] || v / 2) : v + 1)
    const middle = KEYS[key].kind === 'integer' ? Math.round((v + next) / 2) : +(v > 0 ? Math.sqrt(v * next) : next / 2).toPrecision(2)
    return [v, middle]
  })
  const { min, max } = KEYS[key]
  return { key, values: [...new Set(between.filter(v => v >= min && v <= max))].slice(0, count) }
}
