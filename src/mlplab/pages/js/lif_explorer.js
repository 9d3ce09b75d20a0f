'use strict'
// The neuron. Same formulas, units (kOhm, uF, ms, V, mA) and constants as mlplab.studies.lif.neuron and .grid.
const NO_LEAK = 2 ** 70, TIE = 1e-10
const leaks = p => Number.isFinite(p.R), ohm = p => leaks(p) ? p.R : NO_LEAK, gap = p => p.Vth - p.Vr
const resetI = p => leaks(p) ? (p.Vr - p.E) / p.R : 0
const gapI = p => leaks(p) ? (p.Vth - p.E) / p.R - resetI(p) : gap(p) / NO_LEAK
const threshold = p => leaks(p) ? (p.Vth - p.E) / p.R : 0
const wait = (p, I) => { const above = I - resetI(p) - gapI(p); return above > 0 ? ohm(p) * p.C * Math.log1p(gapI(p) / above) : Infinity }
const rate = (p, I) => 1000 / (p.tau + wait(p, I))
const relu = (p, I) => 1000 * Math.max(I, 0) / (p.C * gap(p))
const rest = (p, dt) => Math.floor(p.tau / dt + 1e-9)
function count(p, I, steps, dt) {
  const w = dt / (ohm(p) * p.C) * (1 + TIE), g = gapI(p), drive = I - resetI(p)
  let n = drive > g && w < 1 ? Math.max(1, Math.ceil(Math.log1p(g / (drive - g)) / -Math.log1p(-w))) : Infinity
  if (w * drive > g) n = 1
  return Math.floor((steps + rest(p, dt)) / (n + rest(p, dt)))
}
// Largest |rate - ReLU| from 0 to the axis's end, looked for on 2001 currents and at the threshold.
function distance(p) {
  const end = scale.high, far = I => Math.abs(rate(p, I) - relu(p, I))
  let d = far(Math.min(Math.max(threshold(p), Math.min(0, end)), Math.max(0, end)))
  for (let k = 0; k <= 2000; k++) d = Math.max(d, far(k * (end / 2000)))
  return d
}
// The exact rate under white noise, as mlplab.studies.lif.noise_rate; coefficients and nodes were computed by Python.
const DATA = JSON.parse(document.getElementById('data').textContent), ERFCX = DATA.erfcx, NODES = DATA.nodes
function erfcx(x) { // x >= 0: Chebyshev series of (1 + 2 x) erfcx(x) in (x - 3)/(x + 3)
  const t = x > 1e300 ? 1 : (x - 3) / (x + 3)
  let b = 0, c = 0
  for (let k = ERFCX.length - 1; k > 0; k--) { const keep = b; b = 2 * t * b - c + ERFCX[k]; c = keep }
  return (t * b - c + ERFCX[0]) / (1 + 2 * x)
}
const erfcOfMinus = x => 2 - Math.exp(-x * x) * erfcx(x)
const EXPONENT = 45, FAR = 1e9
const untilNothing = top => top * top > EXPONENT ? EXPONENT / (top + Math.sqrt(top * top - EXPONENT)) : top
const over = (reach, f) => { let sum = 0; for (const [x, w] of NODES) sum += w * f(reach * (x + 1) / 2); return reach / 2 * sum }
const first = (u, shifted) => u > 0 ? Math.exp(shifted) * erfcOfMinus(u) : erfcx(-u)
let fromZero = 0
function second(u, shifted) {
  const far = Math.abs(u)
  if (u <= 0) return over(EXPONENT / (far + Math.sqrt(far * far + EXPONENT)), t => Math.exp(-t * (2 * far + t)) * erfcx(far + t) ** 2)
  fromZero ||= over(Math.sqrt(EXPONENT), t => Math.exp(-t * t) * erfcx(t) ** 2)
  return Math.exp(2 * shifted) * (over(untilNothing(far), t => Math.exp(-t * (2 * far - t)) * erfcOfMinus(far - t) ** 2) + Math.exp(-far * far) * fromZero)
}
function passage(p, I, moment) {
  const unit = p.N / Math.sqrt(p.R * p.C), drive = I - resetI(p), low = -drive / unit, high = (gapI(p) - drive) / unit, width = gapI(p) / unit
  const top = Math.max(high, 0), reach = Math.min(low >= 0 ? width : top, untilNothing(top))
  const above = top > 0 ? over(reach, t => moment(top - t, -t * (2 * top - t))) : 0
  const near = Math.max(-high, 0), far = Math.max(-low, 0)
  let below = 0
  for (const [start, stop, offset] of [[0, 30, 1], [30, FAR, 0]]) {
    const a = Math.min(Math.max(near, start), stop), b = Math.min(Math.max(far, start), stop)
    const length = Math.log1p((near >= start && far <= stop && high <= 0 ? width : b - a) / (offset + a))
    if (length > 0) below += over(length, t => { const grown = (offset + a) * Math.exp(t); return moment(offset - grown, 0) * grown })
  }
  const a = Math.max(near, FAR), b = Math.max(far, FAR)
  below += moment === first ? Math.log1p((near >= FAR ? width : b - a) / a) / Math.sqrt(Math.PI) : (a ** -2 - b ** -2) / (4 * Math.PI)
  return [above, below, top * top]
}
function noisy(p, I) {
  if (!p.N) return rate(p, I)
  if (!leaks(p)) return 1000 / (p.tau + p.C * gap(p) / Math.max(I, 0))
  const [above, below, e] = passage(p, I, first), small = Math.exp(-e), c = p.R * p.C * Math.sqrt(Math.PI)
  return 1000 * small / (small * (p.tau + c * below) + c * above)
}
function variation(p, I) {
  const r = noisy(p, I) / 1000
  if (!(r > 0)) return NaN
  if (!p.N) return 0
  if (!leaks(p)) return Math.sqrt(r * r * p.N ** 2 * p.C * gap(p) / Math.max(I, 0) ** 3)
  const [above, below, e] = passage(p, I, second), tau = p.R * p.C
  const lifted = e < 300 ? r * Math.exp(e) : 1 / (tau * Math.sqrt(Math.PI) * passage(p, I, first)[0])
  return Math.sqrt(2 * Math.PI * tau ** 2 * (r * r * below + lifted * lifted * above))
}

// The scale of a neuron, as mlplab.studies.lif.scale: what its axes, sliders and time steps are made from.
function scaleOf(p) {
  const slow = Math.max(10, p.tau), time = leaks(p) ? Math.min(p.R * p.C, slow) : slow, current = p.C * gap(p) / time, from = resetI(p)
  let low = from - .5 * current, high = from + 2 * current
  if (Math.abs(from) <= 5 * current) { low = Math.min(low, -.5 * current); high = Math.max(high, .5 * current) }
  const step = time / 10 * (1 + 1e-12), power = 10 ** Math.floor(Math.log10(step)), dt = +(Math.max(...[1, 2, 5].filter(d => d * power <= step)) * power).toPrecision(3)
  const lowest = Math.min(Math.max(low, 0), from)
  return { time, current, from, low, high, point: from + 1.5 * current, dt, steps: [dt, dt / 2, dt / 10].map(v => +v.toPrecision(3)), ten: [...Array(10).keys()].map(k => lowest + (high - lowest) / 9 * k), kohm: time / p.C, noise: current * Math.sqrt(time) }
}
const TUTORIAL = { R: 1, tau: 1, C: 10, E: 0, Vth: 1, Vr: 0 }, CORTICAL = { R: 4e4, tau: 2, C: 2.5e-4, E: -.065, Vth: -.05, Vr: -.065 }
const START = { ...DATA.start, R: DATA.start.R ?? Infinity } // JSON has no word for infinity
const NEURON = ['R', 'tau', 'C', 'E', 'Vth', 'Vr'], KNOBS = ['R', 'tau', 'C', 'I', 'N'], VOLTS = ['E', 'Vth', 'Vr']
const pick = p => Object.fromEntries(NEURON.map(k => [k, p[k]]))
const $ = id => document.getElementById(id)

// Units: a number is shown with the prefix that fits; a field takes its own unit or one that is typed.
const SUFFIX = { R: ['Ω', 3], C: ['F', -6], tau: ['s', -3], I: ['A', -3], N: ['A√ms', -3], E: ['V', 0], Vth: ['V', 0], Vr: ['V', 0], hz: ['Hz', 0] }
const PREFIX = { p: -12, n: -9, u: -6, 'µ': -6, m: -3, '': 0, k: 3, M: 6, G: 9 }
const tidy = v => v === Infinity ? '∞' : v === 0 ? '0' : String(+v.toPrecision(4))
function unitOf(value, k) {
  const [name, own] = SUFFIX[k], size = Math.abs(value)
  let power = own
  if (Number.isFinite(size) && size > 0 && !(size >= (name === 'V' ? .2 : .01) && size < 1000)) power = Math.min(9, Math.max(-12, 3 * Math.floor((Math.log10(size) + own + 1e-9) / 3)))
  return [10 ** (own - power), (Object.keys(PREFIX).find(x => PREFIX[x] === power && x !== 'u')) + name]
}
const say = (v, k) => { const [f, name] = unitOf(v, k); return tidy(v * f) + ' ' + name }
function parse(text, k, factor = 1) {
  if (/^\s*(inf|infinity|∞)\s*$/i.test(text)) return Infinity
  const found = text.replace(',', '.').replace('−', '-').match(/^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(?:([pnuµmkMG]?)(Ohm|ohm|Ω|F|s|A|V))?\s*$/i)
  if (!found) return NaN
  if (!found[3]) return +found[1] / factor
  const [name, own] = SUFFIX[k]
  return found[3].replace(/ohm/i, 'Ω') === name ? +`${found[1]}e${PREFIX[found[2]] - own}` : NaN
}

// The state, in the address and on the page. `base` is the neuron whose scale the page has.
const nice = [1, 10, 100].flatMap(d => [...Array(35).keys()].map(k => +(d * (k < 10 ? 1 + k / 10 : k < 25 ? 2 + (k - 10) / 5 : 5 + (k - 25) / 2)).toPrecision(3)))
let base, scale, lists, bounds, units, s
function rescale(p) {
  base = pick(p); scale = scaleOf(p)
  const times = (unit, list) => list.map(v => +(v * unit).toPrecision(3)), ms = scale.time / 10
  lists = {
    R: times(scale.kohm, [...[50, 55, 60, 65, 70, 75, 80, 85, 90, 95].map(v => v / 100), ...nice, 1000, Infinity]),
    tau: times(ms, [0, ...nice.slice(0, 35).map(v => v / 10), ...nice.slice(0, 70), 100]), C: times(p.C / 10, [...nice.slice(0, 70), 100]),
    N: times(scale.noise / 50, [0, ...nice.slice(0, 70), 100]), I: [...Array(251).keys()].map(k => +(scale.low + (scale.high - scale.low) / 250 * k).toPrecision(12))
  }
  const ends = (k, high) => [lists[k][0], high ?? lists[k].at(-1)]
  bounds = { R: [Math.min(lists.R[0], p.R), Infinity], tau: ends('tau', Math.max(100 * ms, 2 * p.tau)), C: ends('C'), N: ends('N'), I: [scale.low, scale.high] }
  units = { R: unitOf(leaks(p) ? p.R : scale.kohm, 'R'), tau: unitOf(scale.time, 'tau'), C: unitOf(p.C, 'C'), I: unitOf(scale.high, 'I'), N: unitOf(scale.noise, 'N') }
  const volts = unitOf(Math.max(...VOLTS.map(k => Math.abs(p[k]))), 'E')
  for (const k of VOLTS) units[k] = volts
  for (const k of KNOBS) $(k + 'u').textContent = units[k][1]
  $('Vu').textContent = volts[1]
}
const clamp = (k, v) => !(v >= v) ? undefined : Math.min(bounds[k][1], Math.max(bounds[k][0], v))
function begin(p) { rescale(p); return { ...pick(p), I: p.I ?? scale.point, N: clamp('N', p.N ?? 0), dt: scale.dt, euler: 1, zoom: 0, theme: '', pins: [] } }
const neuronOf = text => { const v = text.split(',').map(t => parse(t)), p = Object.fromEntries(NEURON.map((k, j) => [k, v[j]])); return p.R > 0 && p.tau >= 0 && p.C > 0 && Number.isFinite(p.tau + p.C + p.E) && Number.isFinite(p.Vth + p.Vr) && p.Vth > p.Vr ? p : null }
function read(text) {
  const q = new URLSearchParams(text.replace(/^#/, ''))
  if (q.has('base')) { const p = neuronOf(q.get('base')); if (p) s = { ...begin(p), theme: s.theme } }
  const volts = Object.fromEntries(VOLTS.map(k => [k, q.has(k) ? parse(q.get(k)) : s[k]]))
  if (Object.values(volts).every(Number.isFinite) && volts.Vth > volts.Vr) Object.assign(s, volts)
  for (const k of KNOBS) if (q.has(k)) s[k] = clamp(k, parse(q.get(k))) ?? { ...base, I: scale.point, N: 0 }[k]
  for (const k of ['euler', 'zoom']) if (q.has(k)) s[k] = +(q.get(k) === '1')
  if (q.has('dt') && scale.steps.includes(+q.get('dt'))) s.dt = +q.get('dt')
  if (['dark', 'light'].includes(q.get('theme'))) s.theme = q.get('theme')
  if (q.has('pins')) s.pins = q.get('pins').split(';').filter(Boolean).slice(0, 5).map(t => { const v = t.split(',').map(x => parse(x)); return Object.fromEntries(['R', 'tau', 'C'].map((k, j) => [k, clamp(k, v[j]) ?? base[k]])) })
}
const word = v => v === Infinity ? 'inf' : v
const same = (p, q) => NEURON.every(k => p[k] === q[k])
let timer = 0
function write() {
  clearTimeout(timer)
  timer = setTimeout(() => {
    const pins = s.pins.map(p => [p.R, p.tau, p.C].map(word).join(',')).join(';')
    const other = same(base, START) ? '' : 'base=' + NEURON.map(k => word(base[k])).join(',') + '&'
    const volts = VOLTS.filter(k => s[k] !== base[k]).map(k => `&${k}=${s[k]}`).join('')
    history.replaceState(null, '', `#${other}R=${word(s.R)}&tau=${s.tau}&C=${s.C}&I=${s.I}${volts}${s.N ? '&N=' + s.N : ''}&dt=${s.dt}&euler=${s.euler}&zoom=${s.zoom}${s.theme && '&theme=' + s.theme}${pins && '&pins=' + pins}`)
  }, 60)
}
const PRESETS = {
  explorer: () => ({ p: TUTORIAL }), leaky: () => ({ R: leaks(base) ? base.R : scale.kohm, tau: 0, C: base.C }), saturating: () => ({ R: Infinity, tau: +(2 * scale.time).toPrecision(3), C: base.C }),
  perfect: () => ({ R: Infinity, tau: 0, C: base.C }), trace: () => ({ p: { ...TUTORIAL, tau: 10 } }), cortical: () => ({ p: CORTICAL }), given: () => ({ p: START })
}
const NAMED = { explorer: "The tutorial's explorer setting. ", trace: "The tutorial's membrane trace. ", cortical: 'A cell of the cortex. ' }
function preset(name) {
  cancelAnimationFrame(playing)
  const { p, ...part } = PRESETS[name]()
  if (p) { const keep = { theme: s.theme, euler: s.euler }, begun = begin(p); Object.assign(s, same(scaleNeuron(p), scaleNeuron(s)) ? { ...pick(p) } : begun, keep) } else Object.assign(s, part)
  update()
}
// Presets of one scale keep current, pins and noise.
const scaleNeuron = p => ({ ...pick(p), R: 0, tau: 0 })
const named = () => Object.keys(PRESETS).find(name => name !== 'given' && same({ ...pick(s), ...(PRESETS[name]().p ?? PRESETS[name]()) }, s))

// Drawing.
const el = (name, a, text = '') => `<${name} ${Object.entries(a).map(([k, v]) => `${k}="${v}"`).join(' ')}>${text}</${name}>`
const line = (x1, y1, x2, y2, a = {}) => el('line', { x1, y1, x2, y2, ...a })
const label = (x, y, text, a = {}) => el('text', { x, y, ...a }, text)
function ticks(top, parts) { const raw = top / parts, d = 10 ** Math.floor(Math.log10(raw)), step = d * [1, 2, 5, 10].find(m => m * d >= raw * .999); return [...Array(Math.round(top / step + .49) + 1).keys()].map(k => +(k * step).toPrecision(6)) }
// From just above the threshold in powers of ten, since the rate leaves zero with a vertical tangent.
function currents(p) { const t = threshold(p), { low, high, current: c } = scale, out = [low, t]; for (let k = -13; k < -2; k += .1) out.push(t + c * 10 ** k); for (let k = 0; k <= 300; k++) { const I = t + k / 300 * (high - t); if (I > t + .01 * c) out.push(I) } return out.filter(I => I >= low && I <= high) }
let frame = {}
function drawPlot() {
  const W = Math.max(320, $('plot').clientWidth), H = Math.round(Math.min(350, Math.max(240, W * .42))), l = 46, r = W < 520 ? 86 : 112, t = 26, b = 40
  const { low, high } = scale, pins = s.pins.map(p => ({ ...s, ...p })), all = [s, ...pins], last = s.N ? noisy(s, high) : 0, best = Math.max(last, ...all.map(p => rate(p, high)))
  const want = (s.zoom && best > 0 ? best * 1.08 : Math.max(relu(s, high), best)) || 1, marks = ticks(want, 5), top = marks.at(-1)
  const x = I => l + (I - low) / (high - low) * (W - l - r), y = v => H - b - v / top * (H - t - b)
  frame = { x, l, r, W, invert: px => (px - l) / (W - l - r) * (high - low) + low }
  const [f, unit] = units.I, [fr, hertz] = unitOf(top, 'hz')
  const path = p => 'M' + currents(p).map(I => x(I).toFixed(2) + ' ' + y(rate(p, I)).toFixed(2)).join('L')
  let g = '<g class="grid">' + marks.map(m => line(l, y(m), W - r, y(m)) + label(l - 8, y(m) + 4, tidy(m * fr), { 'text-anchor': 'end' })).join('') + '</g>'
  const across = 10 ** Math.floor(Math.log10((high - low) / 4)), by = across * [1, 2, 5, 10].find(d => d * across >= (high - low) / (W < 420 ? 4 : 7))
  for (let m = Math.ceil(low / by - 1e-9) * by; m <= high + by * 1e-9; m += by) g += line(x(m), H - b, x(m), H - b + 5, { class: 'axis' }) + label(x(m), H - b + 19, Math.abs(m) < by * 1e-9 ? 0 : tidy(m * f), { 'text-anchor': 'middle' })
  g += line(l, y(0), W - r, y(0), { class: 'axis' }) + (low < 0 && high > 0 ? line(x(0), y(0), x(0), t, { stroke: 'var(--line)' }) : '')
  g += label((l + W - r) / 2, H - 4, `input current I (${unit})`, { 'text-anchor': 'middle' }) + label(l - 8, 12, hertz, { 'text-anchor': 'end' })
  g += '<clipPath id="clip">' + el('rect', { x: l, y: t - 4, width: W - l - r + 4, height: H - t - b + 8 }) + '</clipPath><g clip-path="url(#clip)" fill="none">'
  const th = threshold(s), ceil = 1000 / s.tau, seen = th >= low && th <= high
  if (seen) g += line(x(th), y(0), x(th), t, { stroke: 'var(--muted)', 'stroke-dasharray': '3 3' })
  if (ceil <= top) g += line(l, y(ceil), W - r, y(ceil), { stroke: 'var(--muted)', 'stroke-dasharray': '3 3' })
  pins.forEach((p, k) => g += el('path', { d: path(p), stroke: `var(--p${k})`, 'stroke-width': 2 }))
  g += el('path', { id: 'curve', d: path(s), stroke: 'var(--blue)', 'stroke-width': 3, 'stroke-linejoin': 'round' })
  if (s.N) g += el('path', { id: 'noisyCurve', d: 'M' + [...Array(91).keys()].map(k => low + (high - low) / 90 * k).map(I => x(I).toFixed(2) + ' ' + y(noisy(s, I)).toFixed(2)).join('L'), stroke: 'var(--p1)', 'stroke-width': 2.5 })
  // On top, so that it still shows where the curve has become it.
  g += el('path', { d: `M${x(low)} ${y(relu(s, low))}L${x(Math.max(low, Math.min(0, high)))} ${y(relu(s, low))}L${x(high)} ${y(relu(s, high))}`, stroke: 'var(--red)', 'stroke-width': 1.8, 'stroke-dasharray': '6 4' })
  g += '</g>'
  if (s.euler) for (const I of scale.ten) { const n = count(s, I, steps(), s.dt), hz = n / span() * 1000; if (hz <= top) g += el('circle', { class: 'count', cx: x(I), cy: y(hz), r: 4.5, fill: 'none', stroke: 'var(--ink)', 'stroke-width': 1.4, 'data-count': n }) }
  // Words stand outside the axes, so that none lies on a curve; those on the right are pushed apart.
  const words = [[rate(s, high), 'exact ' + tidy(rate(s, high) * fr), 'var(--blue)'], [Math.min(relu(s, high), top), 'ReLU ' + tidy(relu(s, high) * fr), 'var(--red)']]
  if (ceil <= top) words.push([ceil, 'ceiling ' + tidy(ceil * fr), 'var(--muted)'])
  if (s.N) words.push([last, 'noisy ' + tidy(last * fr), 'var(--p1)'])
  words.sort((a, c) => c[0] - a[0])
  let at = -99; const place = words.map(w => at = Math.max(at + 15, y(w[0]) + 4)); const over = Math.max(0, at - y(0) - 4)
  words.forEach((w, k) => g += label(W - r + 8, place[k] - over * (k + 1) / words.length, w[1], { style: `fill:${w[2]}` }))
  if (seen) g += label(Math.max(l + 60, Math.min(x(th), W - r - 60)), 14, `threshold ${tidy(th * f)} ${unit}`, { 'text-anchor': 'middle' })
  const now = rate(s, s.I)
  g += line(x(s.I), y(0), x(s.I), y(Math.min(now, top)), { stroke: 'var(--blue)', 'stroke-dasharray': '1 4' })
  g += el('circle', { id: 'dot', cx: x(s.I), cy: y(Math.min(now, top)), r: 8, tabindex: 0, role: 'slider', 'aria-label': 'input current', 'aria-valuemin': low, 'aria-valuemax': high, 'aria-valuenow': s.I, 'aria-valuetext': `${say(s.I, 'I')}, ${say(now, 'hz')}` })
  const held = document.activeElement && document.activeElement.id === 'dot'
  $('plot').setAttribute('viewBox', `0 0 ${W} ${H}`)
  $('plot').innerHTML = g
  if (held) $('dot').focus()
}
// Potentials in units of the way from reset (0) to threshold (1), a spike up to 1.5.
function drawTrace() {
  const W = frame.W, H = 164, l = 56, r = 14, t = 10, b = 38, charge = wait(s, s.I), period = charge + s.tau, unit = scale.time / 10
  const time = [20, 50, 100, 200, 500].map(v => v * unit).find(v => v >= (period < 1e4 * unit ? 3.2 * period : 60 * unit)) || 500 * unit
  const tau = ohm(s) * s.C, to = (s.I - resetI(s)) / gapI(s), V = u => -Math.expm1(-u / tau) * to
  const low = Math.min(0, Math.max(-.6, leaks(s) ? to : s.I < 0 ? -.6 : 0)), x = v => l + v / time * (W - l - r), y = v => t + (1.55 - v) / (1.55 - low) * (H - t - b)
  let g = '', d = '', at = 0
  for (let k = 0; at < time && k < 900; k++) {
    const end = Math.min(time, at + charge), n = Math.max(2, Math.min(160, Math.ceil((end - at) / time * 220)))
    for (let j = 0; j <= n; j++) d += (d ? 'L' : 'M') + x(at + j / n * (end - at)).toFixed(1) + ' ' + y(Math.max(low, V(j / n * (end - at)))).toFixed(1)
    if (at + charge >= time) break
    d += `L${x(end).toFixed(1)} ${y(1.5)}L${x(end).toFixed(1)} ${y(0)}`
    g += el('rect', { x: x(end), y: t, width: Math.max(0, x(Math.min(time, end + s.tau)) - x(end)), height: H - t - b, fill: 'var(--shade)' })
    at = end + s.tau
    if (at < time) d += `L${x(at).toFixed(1)} ${y(0)}`; else d += `L${x(time)} ${y(0)}`
  }
  const [fv, volt] = units.E, [ft, sec] = unitOf(time, 'tau')
  g += line(l, y(1), W - r, y(1), { stroke: 'var(--muted)', 'stroke-dasharray': '3 3' }) + label(l - 8, y(1) + 4, `${tidy(s.Vth * fv)} ${volt}`, { 'text-anchor': 'end' }) + label(l - 8, y(0) + 4, `${tidy(s.Vr * fv)} ${volt}`, { 'text-anchor': 'end' }) + line(l, y(0), W - r, y(0), { class: 'axis' })
  for (let k = 0; k <= 5; k++) g += line(x(k * time / 5), H - b, x(k * time / 5), H - b + 5, { class: 'axis' }) + label(x(k * time / 5), H - b + 19, tidy(k * time / 5 * ft), { 'text-anchor': 'middle' })
  g += label((l + W - r) / 2, H - 3, `time (${sec})`, { 'text-anchor': 'middle' })
  g += el('path', { d, fill: 'none', stroke: 'var(--blue)', 'stroke-width': 2, 'stroke-linejoin': 'bevel' })
  if (s.euler && time / s.dt <= 1000) { // the tutorial's rule, step by step
    const w = s.dt / tau * (1 + TIE); let v = 0, hold = 0, dots = ''
    for (let k = 1; k <= Math.round(time / s.dt); k++) { if (hold) { v = 0; hold-- } else v += w * (to - v); const fire = v > 1; dots += `M${x(k * s.dt).toFixed(1)} ${y(Math.max(low, fire ? 1.5 : v)).toFixed(1)}h0`; if (fire) { v = 0; hold = rest(s, s.dt) } }
    g += el('path', { d: dots, stroke: 'var(--ink)', 'stroke-width': s.dt < scale.dt ? 2.4 : 4, 'stroke-linecap': 'round' })
  }
  $('trace').setAttribute('viewBox', `0 0 ${W} ${H}`)
  $('trace').innerHTML = g
  $('traceTitle').textContent = `Membrane potential at I = ${say(s.I, 'I')}` + (charge === Infinity ? ': no spike, ever' : `: a spike every ${say(period, 'tau')}`) + (s.N ? ' (without the noise)' : '')
}
const steps = () => Math.round(1000 * scale.dt / s.dt), span = () => 1000 * scale.dt
function show(id, v, k) { $(id).textContent = say(v, k); $(id).dataset.value = v }
function numbers() {
  show('rc', s.R * s.C, 'tau'); show('threshold', threshold(s), 'I'); show('ceiling', 1000 / s.tau, 'hz'); show('rate', rate(s, s.I), 'hz')
  show('relu', relu(s, s.I), 'hz'); show('distance', distance(s), 'hz')
  const n = count(s, s.I, steps(), s.dt), most = Math.floor((steps() + rest(s, s.dt)) / (1 + rest(s, s.dt)))
  $('count').textContent = n + (n === most ? ' (every step)' : ''); $('count').dataset.value = n; $('counted').textContent = say(span(), 'tau')
  for (const e of document.querySelectorAll('.noisy')) e.hidden = !s.N
  if (s.N) { show('noisy', noisy(s, s.I), 'hz'); const cv = variation(s, s.I); $('cv').textContent = cv >= 0 ? tidy(cv) + ' of their mean' : '–'; $('cv').dataset.value = cv }
}
function update() {
  const began = performance.now()
  for (const k of KNOBS) {
    const near = v => k === 'I' ? v / scale.current : v === Infinity ? 1e9 : Math.log(v / lists[k][1] + .2)
    $(k).max = lists[k].length - 1
    $(k).value = lists[k].reduce((m, v, j) => Math.abs(near(v) - near(s[k])) < Math.abs(near(lists[k][m]) - near(s[k])) ? j : m, 0)
    $(k).setAttribute('aria-valuetext', say(s[k], k))
  }
  for (const k of [...KNOBS, ...VOLTS]) if (document.activeElement !== $(k + 't')) { $(k + 't').value = tidy(s[k] * units[k][0]); $(k + 't').removeAttribute('aria-invalid') }
  numbers()
  const name = named(), from = leaks(s) ? `The leak carries off what does not exceed (V<sub>th</sub> − V<sub>rest</sub>)/R, so it <b>sets the threshold, ${say(threshold(s), 'I')}</b>; ` : 'Without a leak any current above zero makes it fire, so <b>the threshold is 0</b>; '
  $('says').innerHTML = (NAMED[name] ? `<b>${NAMED[name]}</b>` : '') + (s.R === Infinity && s.tau === 0 ? 'No leak: any current above zero makes it fire. No refractory time: nothing holds it back. What is left is <b>rate = I / (C (V<sub>th</sub> − V<sub>reset</sub>)) for I > 0, else 0: a ReLU, exactly.</b>'
    : from + (s.tau === 0 ? 'without a refractory time <b>nothing limits the rate</b>. ' : `the refractory time <b>sets the ceiling, ${say(1000 / s.tau, 'hz')}</b>. `) + 'Raise R to ∞ and lower τ<sub>ref</sub> to 0, and the blue curve becomes the red ReLU.')
  for (const e of document.querySelectorAll('[data-preset]')) { e.setAttribute('aria-pressed', e.dataset.preset === name); if (e.dataset.preset === 'given') e.hidden = same(START, s) || Object.values(PRESETS).some(f => f().p && f().p !== START && same(f().p, START)) }
  $('euler').setAttribute('aria-pressed', !!s.euler); $('zoom').setAttribute('aria-pressed', !!s.zoom); $('dt').textContent = `Δt = ${say(s.dt, 'tau')}`
  const dark = s.theme ? s.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'; $('theme').textContent = dark ? '☀ light' : '☾ dark'
  $('pins').innerHTML = s.pins.map((p, k) => `<button data-pin="${k}" title="remove this pin"><s style="background:var(--p${k})"></s> R ${say(p.R, 'R')}, τ ${say(p.tau, 'tau')}, C ${say(p.C, 'C')} ✕</button>`).join('')
  drawPlot(); drawTrace(); write()
  document.documentElement.dataset.redrawMs = performance.now() - began
}
function set(part) { Object.assign(s, part); update() }
let playing = 0
function play() {
  cancelAnimationFrame(playing)
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return set({ R: Infinity, tau: 0 })
  const end = 1000 * scale.kohm, from = { R: Math.min(s.R, end), tau: s.tau }, begun = performance.now()
  const go = now => { const u = Math.min(1, (now - begun) / 2000); set(u < 1 ? { R: +(from.R * (end / from.R) ** u).toPrecision(3), tau: +(from.tau * (1 - u) ** 2).toPrecision(3) } : { R: Infinity, tau: 0 }); if (u < 1) playing = requestAnimationFrame(go) }
  playing = requestAnimationFrame(go)
}
for (const k of KNOBS) $(k).addEventListener('input', e => set({ [k]: lists[k][+e.target.value] }))
for (const k of [...KNOBS, ...VOLTS]) {
  $(k + 't').addEventListener('input', e => {
    const v = parse(e.target.value, k, units[k][0]), ok = VOLTS.includes(k) ? Number.isFinite(v) && { ...s, [k]: v }.Vth > { ...s, [k]: v }.Vr : v >= bounds[k][0] && v <= bounds[k][1]
    e.target.setAttribute('aria-invalid', !ok); if (ok) set({ [k]: v })
  })
  $(k + 't').addEventListener('blur', update)
}
const pin = () => set({ pins: [...s.pins, { R: s.R, tau: s.tau, C: s.C }].slice(-5) })
const acts = { p: pin, x: () => set({ pins: [] }), e: () => set({ euler: 1 - s.euler }), z: () => set({ zoom: 1 - s.zoom }), t: () => set({ dt: scale.steps[(scale.steps.indexOf(s.dt) + 1) % 3] }), d: () => set({ theme: document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark' }), 5: play }
for (const b of document.querySelectorAll('[data-preset]')) { acts[b.title[0]] = () => preset(b.dataset.preset); b.onclick = acts[b.title[0]] }
for (const [id, key] of Object.entries({ pin: 'p', clear: 'x', euler: 'e', zoom: 'z', dt: 't', theme: 'd', play: 5 })) $(id).onclick = acts[key]
$('pins').onclick = e => { const b = e.target.closest('[data-pin]'); if (b) set({ pins: s.pins.filter((_, k) => k !== +b.dataset.pin) }) }
addEventListener('keydown', e => { if (e.ctrlKey || e.metaKey || e.altKey || e.target.type === 'text') return; const act = acts[e.key.toLowerCase()]; if (act) { act(); e.preventDefault() } })
const grain = () => (scale.high - scale.low) / 250
const snap = I => clamp('I', lists.I[Math.min(250, Math.max(0, Math.round((I - scale.low) / grain())))])
$('plot').addEventListener('keydown', e => { const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -999, End: 999 }[e.key]; if (by) { set({ I: snap(s.I + by * grain()) }); e.preventDefault() } })
let drag = false
const move = e => { const box = $('plot').getBoundingClientRect(); set({ I: snap(frame.invert((e.clientX - box.left) * frame.W / box.width)) }) }
$('plot').addEventListener('pointerdown', e => { const box = $('plot').getBoundingClientRect(), px = (e.clientX - box.left) * frame.W / box.width; if (e.button || px < frame.l || px > frame.W - frame.r) return; drag = true; $('plot').setPointerCapture(e.pointerId); move(e); $('dot').focus({ preventScroll: true }); e.preventDefault() })
$('plot').addEventListener('pointermove', e => { if (drag) move(e) })
for (const k of ['pointerup', 'pointercancel']) $('plot').addEventListener(k, () => { drag = false })
addEventListener('hashchange', () => { read(location.hash); update() })
addEventListener('resize', update)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', update)
s = begin(START); read(location.hash); update()
