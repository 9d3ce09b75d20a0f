'use strict'
// The lab's random streams, number for number: seeds derived by SHA-256, torch's CPU generator and its draws.

const ROUND_KEYS = []
const FIRST_STATE = []
// Fractions of the cube and square roots of the first primes, as FIPS 180-4 asks for.
for (let n = 2; ROUND_KEYS.length < 64; n++) {
  let prime = true
  for (let k = 2; k * k <= n; k++) if (n % k === 0) prime = false
  if (!prime) continue
  const fraction = x => ((x - Math.floor(x)) * 2 ** 32) | 0
  if (FIRST_STATE.length < 8) FIRST_STATE.push(fraction(n ** (1 / 2)))
  ROUND_KEYS.push(fraction(n ** (1 / 3)))
}

// The first eight bytes of the SHA-256 of an ASCII text, as two unsigned words.
function sha256Words(text) {
  const bytes = [...text].map(c => c.charCodeAt(0)), bits = 8 * bytes.length
  bytes.push(0x80)
  while (bytes.length % 64 !== 56) bytes.push(0)
  for (const word of [Math.floor(bits / 2 ** 32), bits]) for (let k = 24; k >= 0; k -= 8) bytes.push((word >>> k) & 255)
  const state = [...FIRST_STATE], w = new Int32Array(64)
  const turn = (x, k) => (x >>> k) | (x << (32 - k))
  for (let at = 0; at < bytes.length; at += 64) {
    for (let k = 0; k < 16; k++) {
      const j = at + 4 * k
      w[k] = (bytes[j] << 24) | (bytes[j + 1] << 16) | (bytes[j + 2] << 8) | bytes[j + 3]
    }
    for (let k = 16; k < 64; k++) {
      const s0 = turn(w[k - 15], 7) ^ turn(w[k - 15], 18) ^ (w[k - 15] >>> 3)
      const s1 = turn(w[k - 2], 17) ^ turn(w[k - 2], 19) ^ (w[k - 2] >>> 10)
      w[k] = w[k - 16] + s0 + w[k - 7] + s1
    }
    let [a, b, c, d, e, f, g, h] = state
    for (let k = 0; k < 64; k++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25), choice = (e & f) ^ (~e & g)
      const t1 = (h + s1 + choice + ROUND_KEYS[k] + w[k]) | 0
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22), majority = (a & b) ^ (a & c) ^ (b & c)
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + s0 + majority) | 0
    }
    ;[a, b, c, d, e, f, g, h].forEach((value, k) => { state[k] = (state[k] + value) | 0 })
  }
  return [state[0] >>> 0, state[1] >>> 0]
}

// mlplab.seeds.derive, its low 32 bits: all that torch's generator takes of a seed.
function derive(seed, ...labels) {
  const [high, low] = sha256Words([seed, ...labels].join('/'))
  return ((low >>> 1) | ((high & 1) << 31)) >>> 0
}

// torch.Generator on the CPU: a Mersenne twister.
class Generator {
  constructor(seed) {
    this.state = new Uint32Array(624)
    this.at = 624
    this.spare = null
    this.state[0] = seed
    for (let k = 1; k < 624; k++) {
      const last = this.state[k - 1] ^ (this.state[k - 1] >>> 30)
      this.state[k] = Math.imul(1812433253, last) + k
    }
  }
  word() {
    if (this.at === 624) {
      const s = this.state
      for (let k = 0; k < 624; k++) {
        const y = (s[k] & 0x80000000) | (s[(k + 1) % 624] & 0x7fffffff)
        s[k] = s[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
      }
      this.at = 0
    }
    let y = this.state[this.at++]
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }
  uniform() { return (this.word() & 0xffffff) / 0x1000000 }
  uniform53() {
    const high = this.word() & 0x1fffff, low = this.word()
    return (high * 2 ** 32 + low) / 2 ** 53
  }
  // torch.randn(count): from 16 numbers on in groups of 16, below one by one in double precision.
  normal(count) {
    const out = new Float32Array(count)
    if (count < 16) {
      for (let k = 0; k < count; k++) out[k] = this.normal53()
      return out
    }
    for (let k = 0; k < count; k++) out[k] = this.uniform()
    const group = from => {
      for (let j = from; j < from + 8; j++) {
        const radius = Math.sqrt(-2 * Math.log(1 - out[j])), angle = 2 * Math.PI * out[j + 8]
        out[j] = radius * Math.cos(angle)
        out[j + 8] = radius * Math.sin(angle)
      }
    }
    for (let k = 0; k + 15 < count; k += 16) group(k)
    if (count % 16) {
      for (let k = count - 16; k < count; k++) out[k] = this.uniform()
      group(count - 16)
    }
    return out
  }
  normal53() {
    if (this.spare !== null) { const value = this.spare; this.spare = null; return value }
    const angle = 2 * Math.PI * this.uniform53(), radius = Math.sqrt(-2 * Math.log1p(-this.uniform53()))
    this.spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
  // torch.randperm(count).
  permutation(count) {
    const out = Int32Array.from({ length: count }, (_, k) => k)
    for (let k = 0; k < count - 1; k++) {
      const other = k + this.word() % (count - k), value = out[k]
      out[k] = out[other]
      out[other] = value
    }
    return out
  }
}
