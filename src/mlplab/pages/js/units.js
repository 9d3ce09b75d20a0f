'use strict'
// The choice of two hidden units, by the maps of all units or by name, for pages that show one network.

class UnitChoice {
  // canvas: of the units' maps; selects: two elements; changed: called after a choice.
  constructor(canvas, selects, changed) {
    Object.assign(this, { canvas, selects, changed, places: [], names: '' })
    this.chosen = [{ layer: 0, unit: 0 }, { layer: 0, unit: 1 }]
    canvas.addEventListener('pointerdown', e => {
      const [x, y] = within(canvas, e), hit = this.places.find(u => x >= u.x && x < u.x + u.size && y >= u.y && y < u.y + u.size)
      if (hit) this.take(this.chosen[1].layer === hit.layer ? [this.chosen[1], hit] : [hit, hit])
    })
    selects.forEach((select, k) => {
      select.onchange = () => {
        const [layer, unit] = select.value.split(',').map(Number), both = [...this.chosen]
        both[k] = { layer, unit }
        if (both[1 - k].layer !== layer) both[1 - k] = { layer, unit }
        this.take(both)
      }
    })
  }
  take(both) {
    this.chosen = both.map(({ layer, unit }) => ({ layer, unit }))
    this.changed()
  }
  // Keep the choice within a network's shape.
  fit(shape) {
    for (const u of this.chosen) { u.layer = Math.max(0, Math.min(u.layer, shape.depth - 1)); u.unit = Math.min(u.unit, (shape.widths[u.layer + 1] ?? 1) - 1) }
    if (this.chosen[1].layer !== this.chosen[0].layer) this.chosen[1] = { ...this.chosen[0] }
    if (this.names !== shape.widths.join()) {
      this.names = shape.widths.join()
      this.selects.forEach((select, k) => select.replaceChildren(...shape.widths.slice(1, -1).flatMap((units, layer) =>
        Array.from({ length: units }, (_, unit) => make('option', { value: `${layer},${unit}`, textContent: `${'AB'[k]}: layer ${layer + 1}, unit ${unit + 1}` })))))
    }
    this.selects.forEach((select, k) => { select.value = `${this.chosen[k].layer},${this.chosen[k].unit}` })
  }
  draw(lens, extent, embed) { this.places = drawUnits(this.canvas, lens, extent, this.chosen, embed) }
}

// A row of buttons that shows one of several parts: [[id of the part, label], ...].
function tabs(row, list, changed) {
  row.replaceChildren(...list.map(([name, label], k) => {
    const button = make('button', { textContent: label })
    button.onclick = () => {
      for (const [other] of list) $(other).hidden = other !== name
      ;[...row.children].forEach(b => b.setAttribute('aria-pressed', b === button))
      changed(name)
    }
    button.setAttribute('aria-pressed', k === 0)
    $(name).hidden = k > 0
    return button
  }))
}
