'use strict'
// The two products that take the time, as WebAssembly with four lanes, written below in its stack text and
// assembled here; where a browser refuses it, the same in JavaScript. All arrays lie in one heap of float32.
//
//   affine  y[j, p] = b[j] + sum over k of w[j, k] x[k, p]
//   outer   g[j, k] = sum over p of d[j, p] x[k, p]
//
// Points p lie side by side and their number is a multiple of 16. Addresses count bytes.

const LANES = 16
const padded = count => Math.ceil(count / LANES) * LANES

// Two outputs at a time: each x is loaded once for both.
const AFFINE = `
  loop outputs
    get n set left
    get x set xp
    loop points
      get b f32.load f32x4.splat tee a0 tee a1 tee a2 set a3
      get b get sb i32.add f32.load f32x4.splat tee c0 tee c1 tee c2 set c3
      get nin set k get w set wk get xp set xk
      loop inputs
        get wk v128.load32_splat set s
        get wk get sj i32.add v128.load32_splat set t
        ${[0, 1, 2, 3].map(q => `
        get a${q} get xk v128.load ${16 * q} tee v get s f32x4.mul f32x4.add set a${q}
        get c${q} get v get t f32x4.mul f32x4.add set c${q}`).join('')}
        get wk get sk i32.add set wk
        get xk get row i32.add set xk
        get k const 1 i32.sub tee k br_if inputs
      end
      ${[0, 1, 2, 3].map(q => `
      get y get a${q} v128.store ${16 * q}
      get y get next i32.add get c${q} v128.store ${16 * q}`).join('')}
      get y const 64 i32.add set y
      get xp const 64 i32.add set xp
      get left const 16 i32.sub tee left br_if points
    end
    get w get sj i32.add get sj i32.add set w
    get b get sb i32.add get sb i32.add set b
    get y get next i32.add set y
    get pairs const 1 i32.sub tee pairs br_if outputs
  end`

const OUTER = `
  loop outputs
    get x set xk get nin set k
    loop inputs
      const 0 i32x4.splat tee a0 tee a1 tee a2 set a3
      get d set dp get n set left
      loop points
        get a0 get dp v128.load 0 get xk v128.load 0 f32x4.mul f32x4.add set a0
        get a1 get dp v128.load 16 get xk v128.load 16 f32x4.mul f32x4.add set a1
        get a2 get dp v128.load 32 get xk v128.load 32 f32x4.mul f32x4.add set a2
        get a3 get dp v128.load 48 get xk v128.load 48 f32x4.mul f32x4.add set a3
        get dp const 64 i32.add set dp
        get xk const 64 i32.add set xk
        get left const 16 i32.sub tee left br_if points
      end
      get a0 get a1 f32x4.add get a2 get a3 f32x4.add f32x4.add set a0
      get g
      get a0 f32x4.lane 0 get a0 f32x4.lane 1 f32.add
      get a0 f32x4.lane 2 get a0 f32x4.lane 3 f32.add f32.add
      f32.store
      get g const 4 i32.add set g
      get k const 1 i32.sub tee k br_if inputs
    end
    get d get row i32.add set d
    get nout const 1 i32.sub tee nout br_if outputs
  end`

const CODES = {
  'i32.add': [0x6a], 'i32.sub': [0x6b], 'f32.add': [0x92], 'f32.load': [0x2a, 2, 0], 'f32.store': [0x38, 2, 0],
  'v128.load32_splat': [0xfd, 9, 2, 0], 'f32x4.splat': [0xfd, 0x13], 'i32x4.splat': [0xfd, 0x11],
  'f32x4.add': [0xfd, 0xe4, 1], 'f32x4.mul': [0xfd, 0xe6, 1],
}

// One function body from its stack text: names of i32 arguments and locals, then of v128 locals.
function assembled(text, integers, vectors, argumentsCount) {
  const names = [...integers, ...vectors], code = [], labels = []
  const words = text.trim().split(/\s+/)
  for (let at = 0; at < words.length; at++) {
    const word = words[at]
    if (word in CODES) code.push(...CODES[word])
    else if (word === 'loop') { code.push(0x03, 0x40); labels.push(words[++at]) }
    else if (word === 'end') { code.push(0x0b); labels.pop() }
    else if (word === 'br_if') code.push(0x0d, labels.length - 1 - labels.indexOf(words[++at]))
    else if (word === 'const') { const v = +words[++at]; code.push(0x41, ...(v < 64 ? [v] : [(v & 127) | 128, v >> 7])) }
    else if (word === 'v128.load') code.push(0xfd, 0, 2, +words[++at])
    else if (word === 'v128.store') code.push(0xfd, 0x0b, 2, +words[++at])
    else if (word === 'f32x4.lane') code.push(0xfd, 0x1f, +words[++at])
    else code.push({ get: 0x20, set: 0x21, tee: 0x22 }[word], names.indexOf(words[++at]))
  }
  const own = integers.length - argumentsCount
  const body = [2, own, 0x7f, vectors.length, 0x7b, ...code, 0x0b]
  return [...leb(body.length), ...body]
}
const leb = n => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >> 7)])

function wasmModule() {
  const section = (id, bytes) => [id, ...leb(bytes.length), ...bytes], text = s => [s.length, ...[...s].map(c => c.charCodeAt(0))]
  const affine = ['w', 'sj', 'sk', 'b', 'sb', 'x', 'y', 'nin', 'pairs', 'n', 'row', 'next'], outer = ['d', 'x', 'g', 'nin', 'nout', 'n', 'row']
  const vectors = ['a0', 'a1', 'a2', 'a3', 'c0', 'c1', 'c2', 'c3', 's', 't', 'v'], type = count => [0x60, count, ...Array(count).fill(0x7f), 0]
  const bodies = [
    assembled(AFFINE, [...affine, 'left', 'xp', 'xk', 'wk', 'k'], vectors, affine.length),
    assembled(OUTER, [...outer, 'left', 'xk', 'dp', 'k'], vectors, outer.length),
  ]
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [2, ...type(affine.length), ...type(outer.length)]),
    ...section(2, [1, ...text('m'), ...text('m'), 2, 0, 1]),
    ...section(3, [2, 0, 1]),
    ...section(7, [2, ...text('affine'), 0, 0, ...text('outer'), 0, 1]),
    ...section(10, [2, ...bodies[0], ...bodies[1]]),
  ])
}

// A heap of float32 with places handed out one after the other, and the two kernels over it. Places count floats.
class Heap {
  constructor(floats, { wasm = true } = {}) {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * floats + 4096) / 65536) })
    this.f = new Float32Array(memory.buffer)
    this.used = 16 // place 0 holds a zero, for layers without a bias
    this.kernels = null
    try {
      if (wasm) this.kernels = new WebAssembly.Instance(new WebAssembly.Module(wasmModule()), { m: { m: memory } }).exports
    } catch (error) { if (!(error instanceof WebAssembly.CompileError)) throw error }
  }
  // Reserve a row of floats that starts at a multiple of 16 bytes.
  take(floats) {
    const place = this.used
    this.used += Math.ceil(floats / 4) * 4
    if (this.used > this.f.length) throw new RangeError('the heap is full')
    return place
  }
  // y (nout rows of n) = b + w x; w[j, k] at w + j sj + k sk; b < 0 is no bias; rows of x are n apart.
  affine(w, sj, sk, b, x, y, nin, nout, n) {
    if (this.kernels) {
      const to = b < 0 ? 0 : 4, run = (j, pairs, apart) => pairs && this.kernels.affine(4 * (w + j * sj), apart && 4 * sj, 4 * sk, to * (b + j), apart && to, 4 * x, 4 * (y + j * n), nin, pairs, n, 4 * n, apart && 4 * n)
      run(0, nout % 2, 0) // an odd one stands for two
      run(nout % 2, nout >> 1, 1)
      return
    }
    const f = this.f
    for (let j = 0; j < nout; j++) {
      const to = y + j * n
      f.fill(b < 0 ? 0 : f[b + j], to, to + n)
      for (let k = 0; k < nin; k++) {
        const s = f[w + j * sj + k * sk], from = x + k * n
        for (let p = 0; p < n; p++) f[to + p] += s * f[from + p]
      }
    }
  }
  // g (nout rows of nin) = d x^T over n points.
  outer(d, x, g, nin, nout, n) {
    if (this.kernels) return this.kernels.outer(4 * d, 4 * x, 4 * g, nin, nout, n, 4 * n)
    const f = this.f
    for (let j = 0; j < nout; j++) for (let k = 0; k < nin; k++) {
      let sum = 0
      for (let p = 0; p < n; p++) sum += f[d + j * n + p] * f[x + k * n + p]
      f[g + j * nin + k] = sum
    }
  }
}
