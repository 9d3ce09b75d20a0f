'use strict'
// What the pages draw: maps with points and limits, charts, hidden units, warped space, confusion, calibration.

const $ = id => document.getElementById(id)
const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties)
  element.append(...children)
  return element
}
let styles = {} // read once a theme: asking the browser takes longer than a cell of a mosaic
const css = name => (styles[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name).trim())
const isDark = () => document.documentElement.dataset.theme === 'dark'
const tone = () => ({ paper: rgb(css('--map')), tint: isDark() ? 0.78 : 0.62 })
const unpacked = text => {
  const raw = atob(text), bytes = new Uint8Array(raw.length)
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k)
  return bytes.buffer
}
// A half is rounded to an even digit, as in Python: a number is the same on the terminal and here.
const fixed = (v, digits) => { const scaled = v * 10 ** digits; return Math.abs(scaled % 1) === 0.5 ? (2 * Math.round(scaled / 2) / 10 ** digits).toFixed(digits) : v.toFixed(digits) }
const percent = (v, digits = 2) => (v === null || v === undefined || !Number.isFinite(v) ? '–' : `${fixed(100 * v, digits)} %`)
const short = (v, digits = 3) => (v === null || v === undefined || !Number.isFinite(v) ? '–' : Math.abs(v) >= 1000 || (v && Math.abs(v) < 1e-3) ? v.toExponential(1) : String(+v.toPrecision(digits)))

function setTheme(choice) {
  const dark = choice ? choice === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
  styles = {}
  return dark
}

// A canvas that is sharp on its screen: give a context in which one unit is one CSS pixel.
function fitted(canvas, height = null) {
  const box = canvas.parentElement.getBoundingClientRect(), scale = Math.min(3, devicePixelRatio || 1)
  const w = Math.max(40, Math.round(box.width)), h = Math.round(height ?? Math.max(40, box.height))
  if (canvas.width !== Math.round(w * scale) || canvas.height !== Math.round(h * scale)) {
    canvas.width = Math.round(w * scale); canvas.height = Math.round(h * scale)
    canvas.style.height = `${h}px`; canvas.style.width = `${w}px`
  }
  const c = canvas.getContext('2d')
  c.setTransform(scale, 0, 0, scale, 0, 0)
  c.clearRect(0, 0, w, h)
  return { c, w, h }
}

// Pixels as an image to draw from; `image` is one of the same size to write over.
function bitmap(pixels, resolution, image = null) {
  if (image?.width !== resolution) image = make('canvas', { width: resolution, height: resolution })
  image.getContext('2d').putImageData(new ImageData(pixels, resolution, resolution), 0, 0)
  return image
}
function drawImage(c, image, x, y, w, h) {
  c.imageSmoothingEnabled = true
  c.imageSmoothingQuality = 'high'
  c.drawImage(image, x, y, w, h)
}

// Pixels of class probabilities given class after class, bottom row first.
function mapPixels(probabilities, resolution, K, { paper, tint }) {
  const n = resolution * resolution, pixels = new Uint8ClampedArray(4 * n)
  for (let at = 0; at < n; at++) {
    let best = 0
    for (let k = 1; k < K; k++) if (probabilities[k * n + at] > probabilities[best * n + at]) best = k
    const up = resolution - 1 - Math.floor(at / resolution)
    mixPixel(pixels, 4 * (up * resolution + at % resolution), best, probabilities[best * n + at], K, paper, tint)
  }
  return pixels
}

// Lines where the likeliest class changes, as segments in units of pixels from the bottom left.
function boundaries(probabilities, resolution, K) {
  const n = resolution * resolution, margin = (k, at) => {
    let other = 0
    for (let j = 0; j < K; j++) if (j !== k) other = Math.max(other, probabilities[j * n + at])
    return probabilities[k * n + at] - other
  }
  const segments = []
  for (let k = 0; k < K; k++) {
    const values = new Float32Array(n)
    for (let at = 0; at < n; at++) values[at] = margin(k, at)
    for (let row = 0; row + 1 < resolution; row++) for (let column = 0; column + 1 < resolution; column++) {
      const at = row * resolution + column, corners = [at, at + 1, at + resolution + 1, at + resolution].map(i => values[i])
      const sign = corners.map(v => v > 0)
      if (sign.every(s => s === sign[0])) continue
      const places = [[0, 0], [1, 0], [1, 1], [0, 1]], cuts = []
      for (let e = 0; e < 4; e++) {
        const f = (e + 1) % 4
        if (sign[e] === sign[f]) continue
        const t = corners[e] / (corners[e] - corners[f])
        cuts.push([column + 0.5 + places[e][0] + t * (places[f][0] - places[e][0]), row + 0.5 + places[e][1] + t * (places[f][1] - places[e][1])])
      }
      for (let q = 0; q + 1 < cuts.length; q += 2) segments.push([cuts[q], cuts[q + 1]])
    }
  }
  return segments
}
function drawSegments(c, segments, resolution, x, y, size, { colour, dash = [5, 4], width = 1.6 }) {
  c.save()
  c.strokeStyle = colour; c.lineWidth = width; c.setLineDash([])
  c.beginPath()
  segments.forEach(([a, b]) => {
    c.moveTo(x + a[0] / resolution * size, y + size - a[1] / resolution * size)
    c.lineTo(x + b[0] / resolution * size, y + size - b[1] / resolution * size)
  })
  c.stroke()
  c.restore()
}

function mark(c, kind, x, y, r) {
  c.beginPath()
  if (kind === 'circle') c.arc(x, y, r, 0, 7)
  else if (kind === 'square') c.rect(x - r * 0.88, y - r * 0.88, 1.76 * r, 1.76 * r)
  else if (kind === 'diamond') { c.moveTo(x, y - 1.25 * r); c.lineTo(x + 1.25 * r, y); c.lineTo(x, y + 1.25 * r); c.lineTo(x - 1.25 * r, y) }
  else { const s = kind === 'down' ? -1 : 1; c.moveTo(x, y - 1.2 * s * r); c.lineTo(x + 1.1 * r, y + 0.9 * s * r); c.lineTo(x - 1.1 * r, y + 0.9 * s * r) }
  c.closePath()
}
// Points {count, x, y} at place(x1, x2); at most `most` of them; those for which wrong(p) holds are ringed.
function drawPoints(c, points, place, { most = 900, radius = 2.6, wrong = null, onlyWrong = false } = {}) {
  const every = Math.max(1, Math.ceil(points.count / most)), edge = isDark() ? '#0009' : '#fffc', ring = css('--ink')
  for (let p = 0; p < points.count; p++) {
    const bad = wrong?.(p)
    if (onlyWrong ? !bad : p % every) continue
    const [x, y] = place(points.x[p], points.x[points.count + p]), k = points.y[p]
    mark(c, MARKERS[k % 5], x, y, bad && onlyWrong ? radius + 1 : radius)
    c.fillStyle = COLOURS[k % 10]; c.fill()
    c.lineWidth = bad ? 1.4 : 0.8; c.strokeStyle = bad ? ring : edge; c.stroke()
  }
}

// Small round numbers between two values.
function ticks(low, high, wanted = 5) {
  const raw = (high - low) / wanted || 1, power = 10 ** Math.floor(Math.log10(raw)), step = power * [1, 2, 5, 10].find(m => m * power >= raw * 0.999)
  const out = []
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) out.push(+v.toPrecision(10))
  return out
}

// A line chart. series: [{points: [[x, y]], colour, width, dash, band: [[x, low, high]]}]; lines: [{y, label}].
function chart(canvas, { series, lines = [], log = false, x: xName = '', y: yName = '', height = 170, cursor = null, percentages = false, xLog = false, square = null }) {
  const { c, w, h } = fitted(canvas, height), left = 52, right = 10, top = 10, bottom = 30
  const finite = v => Number.isFinite(v) && (!log || v > 0)
  const all = series.flatMap(s => [...(s.points ?? []).map(p => p[1]), ...(s.band ?? []).flatMap(p => [p[1], p[2]])]).concat(lines.map(l => l.y)).filter(finite)
  const xs = series.flatMap(s => [...(s.points ?? []), ...(s.band ?? [])].map(p => p[0]))
  let low = square ? square[0] : all.length ? Math.min(...all) : 0, high = square ? square[1] : all.length ? Math.max(...all) : 1, from = square ? square[0] : xs.length ? Math.min(...xs) : 0, to = square ? square[1] : xs.length ? Math.max(...xs) : 1
  if (to === from) to = from + 1
  const f = log ? Math.log10 : v => v
  low = f(low); high = f(high)
  if (!square) {
    const pad = (high - low) * 0.07 || 0.1, above = lines[0]?.above
    low -= pad * (lines.length && !above ? 2.6 : 1); high += pad * (above ? 2.6 : 1)
  }
  const fx = xLog ? v => Math.log10(v) : v => v
  const X = v => left + (fx(v) - fx(from)) / (fx(to) - fx(from)) * (w - left - right), Y = v => h - bottom - (f(v) - low) / (high - low) * (h - top - bottom)
  c.font = '11.5px system-ui, sans-serif'; c.fillStyle = css('--muted'); c.strokeStyle = css('--line'); c.lineWidth = 1
  const shown = log ? [...Array(12).keys()].flatMap(k => [1, 2, 5].map(m => m * 10 ** (k - 8))).filter(v => Math.log10(v) >= low && Math.log10(v) <= high) : ticks(low, high, 4)
  const kept = shown.length > 6 ? shown.filter((_, k) => k % Math.ceil(shown.length / 6) === 0) : shown
  c.textAlign = 'right'
  for (const v of kept) { c.beginPath(); c.moveTo(left, Y(v)); c.lineTo(w - right, Y(v)); c.stroke(); c.fillText(percentages ? `${+(100 * v).toPrecision(4)}` : short(v), left - 6, Y(v) + 4) }
  c.textAlign = 'center'
  for (const v of xLog ? [1, 10, 100, 1000, 1e4, 1e5, 1e6].filter(v => v >= from && v <= to) : ticks(from, to, 5)) c.fillText(short(v, 4), Math.min(X(v), w - right - 8), h - bottom + 15)
  c.fillText(xName, (left + w - right) / 2, h - 3)
  c.save(); c.translate(10, (top + h - bottom) / 2); c.rotate(-Math.PI / 2); c.fillText(yName, 0, 0); c.restore()
  c.save(); c.beginPath(); c.rect(left, top - 4, w - left - right + 2, h - top - bottom + 8); c.clip()
  for (const l of lines) {
    c.strokeStyle = css('--limit'); c.setLineDash([6, 4]); c.lineWidth = 1.4; c.beginPath(); c.moveTo(left, Y(l.y)); c.lineTo(w - right, Y(l.y)); c.stroke(); c.setLineDash([])
    c.textAlign = 'right'; c.fillText(l.label ?? '', w - right - 2, !l.above && Y(l.y) + 13 < h - bottom ? Y(l.y) + 13 : Y(l.y) - 4)
  }
  for (const s of series) {
    if (s.band?.length) {
      c.fillStyle = s.colour; c.globalAlpha = 0.16; c.beginPath()
      s.band.forEach(([x, , b], k) => (k ? c.lineTo(X(x), Y(b)) : c.moveTo(X(x), Y(b))))
      ;[...s.band].reverse().forEach(([x, a]) => c.lineTo(X(x), Y(a)))
      c.fill(); c.globalAlpha = 1; c.fillStyle = css('--muted')
    }
    c.strokeStyle = s.colour; c.lineWidth = s.width ?? 1.8; c.globalAlpha = s.alpha ?? 1; c.setLineDash(s.dash ?? []); c.lineJoin = 'round'; c.beginPath()
    let pen = false
    for (const [x, y] of s.points ?? []) { if (!finite(y)) { pen = false; continue } if (pen) c.lineTo(X(x), Y(y)); else c.moveTo(X(x), Y(y)); pen = true }
    c.stroke(); c.setLineDash([]); c.globalAlpha = 1
    if (s.dots) for (const [x, y] of s.points) { mark(c, 'circle', X(x), Y(y), 3); c.fillStyle = s.colour; c.fill() }
  }
  if (cursor !== null) { c.strokeStyle = css('--ink'); c.globalAlpha = 0.5; c.beginPath(); c.moveTo(X(cursor), top); c.lineTo(X(cursor), h - bottom); c.stroke(); c.globalAlpha = 1 }
  c.restore()
}

// One network's weights laid open: forward at any points, kept for the next weights of the same shape.
class Lens {
  constructor(shape, theta) { this.set(shape, theta) }
  set(shape, theta) {
    const same = this.shape && String(this.shape.widths) === String(shape.widths) && this.heap
    if (!same) {
      this.heap = new Heap(shape.size + shape.room(1024, false) + 4096)
      this.theta = this.heap.take(shape.size)
      this.pass = new Pass(this.heap, shape, 1024, false)
    }
    this.shape = this.pass.shape = shape
    this.heap.f.set(theta, this.theta)
  }
  // visit(pass, from, count) for each piece of the points, rows of all first coordinates and all further ones.
  each(x, total, visit) {
    const { pass, heap: { f } } = this
    for (let from = 0; from < total; from += 1024) {
      const count = Math.min(1024, total - from)
      for (let row = 0; row < this.shape.widths[0]; row++) f.set(x.subarray(row * total + from, row * total + from + count), pass.x + row * pass.width)
      pass.forward(this.theta)
      visit(pass, from, count)
    }
  }
  probabilities(x, total) {
    const K = this.shape.widths.at(-1), out = new Float32Array(K * total), { f } = this.heap
    this.each(x, total, (pass, from, count) => {
      const z = pass.z[this.shape.depth]
      for (let p = 0; p < count; p++) {
        let top = -Infinity, sum = 0
        for (let k = 0; k < K; k++) top = Math.max(top, f[z + k * pass.width + p])
        for (let k = 0; k < K; k++) sum += out[k * total + from + p] = Math.exp(f[z + k * pass.width + p] - top)
        for (let k = 0; k < K; k++) out[k * total + from + p] /= sum
      }
    })
    return out
  }
  // Values of the units of a hidden layer: one row of `total` a unit.
  hidden(x, total, layer) {
    const units = this.shape.widths[layer + 1], out = new Float32Array(units * total), { f } = this.heap
    this.each(x, total, (pass, from, count) => {
      for (let j = 0; j < units; j++) out.set(f.subarray(pass.h[layer] + j * pass.width, pass.h[layer] + j * pass.width + count), j * total + from)
    })
    return out
  }
  pixels(resolution, extent, colours, embed = x => x) {
    const places = grid(resolution, extent), K = this.shape.widths.at(-1), pixels = new Uint8ClampedArray(4 * places.count), { f } = this.heap
    this.each(embed(places.x, places.count), places.count, (pass, from, count) => {
      for (let p = 0; p < count; p++) {
        const at = from + p, up = resolution - 1 - Math.floor(at / resolution)
        tintPixel(pixels, 4 * (up * resolution + at % resolution), f, pass.z[this.shape.depth] + p, pass.width, K, colours.paper, colours.tint)
      }
    })
    return pixels
  }
}

// Every hidden unit's own map, layer after layer; returns where each stands: [{layer, unit, x, y, size}]. embed turns
// points of the plane that is drawn into points of all features.
function drawUnits(canvas, lens, extent, chosen = [], embed = x => x) {
  const resolution = 28, places = grid(resolution, extent), { shape } = lens, width = canvas.parentElement.clientWidth
  const most = Math.max(...shape.widths.slice(1, -1), 1), cell = Math.max(20, Math.min(56, Math.floor(width / Math.min(most, 10)))), across = Math.max(1, Math.floor(width / cell))
  const rows = shape.widths.slice(1, -1).map(units => Math.ceil(units / across)), height = rows.reduce((a, b) => a + b * cell + 18, 4)
  const { c } = fitted(canvas, height), at = []
  const low = rgb(isDark() ? '#ff9a5c' : '#c25a00'), high = rgb(isDark() ? '#6fb4ff' : '#1b64b0'), paper = rgb(css('--map'))
  let top = 0, image = null
  c.font = '11.5px system-ui, sans-serif'
  for (let layer = 0; layer < shape.depth; layer++) {
    const units = shape.widths[layer + 1], values = lens.hidden(embed(places.x, places.count), places.count, layer)
    c.fillStyle = css('--muted'); c.fillText(`hidden layer ${layer + 1}`, 0, top + 12)
    top += 16
    for (let j = 0; j < units; j++) {
      let size = 1e-12
      for (let p = 0; p < places.count; p++) size = Math.max(size, Math.abs(values[j * places.count + p]))
      const pixels = new Uint8ClampedArray(4 * places.count)
      for (let p = 0; p < places.count; p++) {
        const v = values[j * places.count + p] / size, to = 4 * ((resolution - 1 - Math.floor(p / resolution)) * resolution + p % resolution), ink = v > 0 ? high : low
        for (let q = 0; q < 3; q++) pixels[to + q] = Math.abs(v) * 0.85 * ink[q] + (1 - Math.abs(v) * 0.85) * paper[q]
        pixels[to + 3] = 255
      }
      const x = j % across * cell, y = top + Math.floor(j / across) * cell
      drawImage(c, image = bitmap(pixels, resolution, image), x + 1, y + 1, cell - 2, cell - 2)
      const place = chosen.findIndex(u => u.layer === layer && u.unit === j)
      c.strokeStyle = place >= 0 ? css('--ink') : css('--line'); c.lineWidth = place >= 0 ? 2 : 1
      c.strokeRect(x + 1.5, y + 1.5, cell - 3, cell - 3)
      if (place >= 0) { c.fillStyle = css('--card'); c.fillRect(x + 2, y + 2, 12, 13); c.fillStyle = css('--ink'); c.fillText(place ? 'B' : 'A', x + 4, y + 12) }
      at.push({ layer, unit: j, x, y, size: cell })
    }
    top += rows[layer] * cell + 2
  }
  if (!shape.depth) { c.fillStyle = css('--muted'); c.fillText('no hidden layers', 0, 14) }
  return at
}

// The plane as two hidden units of a layer see it: its grid lines bent, its points moved.
function drawWarped(canvas, lens, extent, points, [a, b], embed = x => x) {
  const { c, w, h } = fitted(canvas), lines = 17, along = 61, x = new Float32Array(4 * lines * along), total = 2 * lines * along
  const [l, r, d, u] = extent
  for (let q = 0; q < lines; q++) for (let k = 0; k < along; k++) {
    const s = l + (r - l) * q / (lines - 1), t = d + (u - d) * k / (along - 1), first = q * along + k, second = (lines + q) * along + k
    x[first] = s; x[total + first] = t
    x[second] = l + (r - l) * k / (along - 1); x[total + second] = d + (u - d) * q / (lines - 1)
  }
  const all = embed(x, total), values = [a, b].map(u => lens.hidden(all, total, u.layer).subarray(u.unit * total, (u.unit + 1) * total))
  const own = [a, b].map(u => lens.hidden(points.x, points.count, u.layer).subarray(u.unit * points.count, (u.unit + 1) * points.count))
  const range = k => { const s = [...values[k]].concat([...own[k]]).sort((p, q) => p - q), low = s[0], high = s.at(-1), pad = (high - low) * 0.05 || 0.5; return [low - pad, high + pad] }
  const [x0, x1] = range(0), [y0, y1] = range(1), X = v => 8 + (v - x0) / (x1 - x0) * (w - 16), Y = v => h - 8 - (v - y0) / (y1 - y0) * (h - 16)
  c.fillStyle = css('--map'); c.fillRect(0, 0, w, h)
  c.strokeStyle = css('--muted'); c.globalAlpha = 0.45; c.lineWidth = 0.8
  for (let q = 0; q < 2 * lines; q++) {
    c.beginPath()
    for (let k = 0; k < along; k++) { const p = q * along + k; if (k) c.lineTo(X(values[0][p]), Y(values[1][p])); else c.moveTo(X(values[0][p]), Y(values[1][p])) }
    c.stroke()
  }
  c.globalAlpha = 0.9
  const every = Math.max(1, Math.ceil(points.count / 700))
  for (let p = 0; p < points.count; p += every) { mark(c, MARKERS[points.y[p] % 5], X(own[0][p]), Y(own[1][p]), 2.2); c.fillStyle = COLOURS[points.y[p] % 10]; c.fill() }
  c.globalAlpha = 1; c.fillStyle = css('--muted'); c.font = '11.5px system-ui, sans-serif'
  c.textAlign = 'right'; c.fillText(`unit A →`, w - 6, h - 6); c.textAlign = 'left'; c.fillText('↑ unit B', 6, 14)
}

// counts[i][j]: points of class i that are predicted as class j.
function confusion(probabilities, { count, y }, K) {
  const counts = Array.from({ length: K }, () => Array(K).fill(0))
  for (let p = 0; p < count; p++) counts[y[p]][likeliest(probabilities, count, p, K)]++
  return counts
}
function likeliest(probabilities, count, p, K) {
  let best = 0
  for (let k = 1; k < K; k++) if (probabilities[k * count + p] > probabilities[best * count + p]) best = k
  return best
}
function confusionTable(counts, names) {
  const table = make('table'), head = make('tr', {}, make('th', { className: 'left', textContent: 'is \\ taken for' }), ...names.map(name => make('th', { textContent: name })), make('th', { textContent: 'right' }))
  table.append(head)
  counts.forEach((row, i) => {
    const total = row.reduce((a, b) => a + b, 0), line = make('tr', {}, make('th', { className: 'left', textContent: names[i] }))
    row.forEach((n, j) => {
      const cell = make('td', { textContent: n })
      if (n) cell.style.background = `color-mix(in srgb, ${i === j ? 'var(--train)' : 'var(--red)'} ${Math.round(6 + 30 * n / Math.max(1, total))}%, transparent)`
      line.append(cell)
    })
    line.append(make('td', { textContent: total ? percent(row[i] / total, 1) : '–' }))
    table.append(line)
  })
  return table
}

// Bins by confidence: [mean confidence, share right, points]; and the expected calibration error.
function calibrationBins(probabilities, { count, y }, K, bins = 15) {
  const sums = Array.from({ length: bins }, () => [0, 0, 0])
  for (let p = 0; p < count; p++) {
    const k = likeliest(probabilities, count, p, K), q = probabilities[k * count + p], bin = sums[Math.min(bins - 1, Math.floor(q * bins))]
    bin[0] += q; bin[1] += k === y[p]; bin[2]++
  }
  const filled = sums.filter(b => b[2]), error = filled.reduce((e, [q, right]) => e + Math.abs(q - right), 0) / count
  return { bins: filled.map(([q, right, n]) => [q / n, right / n, n]), error }
}

// Where in a canvas an event is, in its CSS pixels.
const within = (canvas, event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top, box.width, box.height] }

function download(name, text, type = 'application/json') {
  const link = make('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name })
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}
async function copy(text, button) {
  const before = button.textContent
  try { await navigator.clipboard.writeText(text) } catch {
    const area = make('textarea', { value: text })
    document.body.append(area); area.select(); document.execCommand('copy'); area.remove()
  }
  button.textContent = 'copied'
  setTimeout(() => { button.textContent = before }, 1200)
}
