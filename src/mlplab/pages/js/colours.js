'use strict'
// One palette with the lab's figures: hue for the class, strength for how sure it is.

const COLOURS = ['#3f90da', '#ffa90e', '#bd1f01', '#832db6', '#92dadd', '#406868', '#909068', '#f8e090', '#282858', '#58b8e8']
const rgb = colour => [1, 3, 5].map(k => parseInt(colour.slice(k, k + 2), 16))
const PALETTE = COLOURS.map(rgb)
const MARKERS = ['circle', 'square', 'triangle', 'diamond', 'down']

// One pixel from logits at f[z + k row]: the class of the largest, tinted by its probability above chance.
function tintPixel(pixels, at, f, z, row, K, paper, tint) {
  let best = 0
  for (let k = 1; k < K; k++) if (f[z + k * row] > f[z + best * row]) best = k
  let sum = 0
  const top = f[z + best * row]
  for (let k = 0; k < K; k++) sum += Math.exp(f[z + k * row] - top)
  mixPixel(pixels, at, best, 1 / sum, K, paper, tint)
}
function mixPixel(pixels, at, best, p, K, paper, tint) {
  const share = K > 1 ? tint * (0.12 + 0.88 * Math.max(0, (p - 1 / K) / (1 - 1 / K))) : tint, colour = PALETTE[best % 10]
  for (let c = 0; c < 3; c++) pixels[at + c] = share * colour[c] + (1 - share) * paper[c]
  pixels[at + 3] = 255
}
