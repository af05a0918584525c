// Sets the clock of this process wrong by so many milliseconds.
module.exports = (shift) => {
  if (!shift) return
  const Real = Date
  globalThis.Date = class extends Real {
    constructor(...given) {
      given.length ? super(...given) : super(Real.now() + shift)
    }
    static now() {
      return Real.now() + shift
    }
  }
}
