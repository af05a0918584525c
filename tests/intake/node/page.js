// What a page does: load an SDK, send twelve calls. Bundled by browse.mjs; `given` comes from the address.
import { AnalyticsBrowser } from '@segment/analytics-next'
import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'
import { jitsuAnalytics } from '@jitsu/js'

const given = Object.fromEntries(new URLSearchParams(location.search))
const shift = Number(given.shift)
if (shift) {
  const Real = Date
  window.Date = class extends Real {
    constructor(...parts) {
      parts.length ? super(...parts) : super(Real.now() + shift)
    }
    static now() {
      return Real.now() + shift
    }
  }
}
const names = Array.from({ length: 10 }, (_, n) => (n === 9 ? 'Unsubscribed' : `n${n + 1}`))

function twelve(sender) {
  sender.identify('user-1', { email: 'jané@example.com' })
  for (const event of names) sender.track(event, { text: 'Straße' })
  sender.group('org-9', { name: 'ACME' })
}

const scripts = {
  segment() {
    twelve(AnalyticsBrowser.load({ writeKey: given.key, cdnURL: given.api }))
  },
  'segment-batching'() {
    twelve(AnalyticsBrowser.load({ writeKey: given.key, cdnURL: given.api }, { integrations: { 'Segment.io': { deliveryStrategy: { strategy: 'batching', config: { size: 5, timeout: 300 } } } } }))
  },
  rudder() {
    const sender = new RudderAnalytics()
    sender.load(given.key, given.api, { configUrl: given.api })
    twelve(sender)
  },
  'rudder-batch'() {
    const sender = new RudderAnalytics()
    sender.load(given.key, given.api, { configUrl: given.api, queueOptions: { batch: { enabled: true, maxItems: 5, flushInterval: 500 } } })
    twelve(sender)
  },
  'rudder-beacon'() {
    const sender = new RudderAnalytics()
    sender.load(given.key, given.api, { configUrl: given.api, useBeacon: true, beaconQueueOptions: { flushQueueInterval: 500 } })
    twelve(sender)
  },
  async jitsu() {
    const sender = jitsuAnalytics({ host: given.api, writeKey: `web:${given.key}` })
    await sender.identify('user-1', { email: 'jané@example.com' })
    for (const event of names) await sender.track(event, { text: 'Straße' })
    await sender.group('org-9', { name: 'ACME' })
  },
}
scripts[given.sdk]()
