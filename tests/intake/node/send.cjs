// node send.cjs SDK URL KEY SHIFT: sends twelve calls with an unchanged SDK for Node, and ends when they are away.
const [sdk, url, key, shift] = process.argv.slice(2)
require('./clock.cjs')(Number(shift))
process.on('unhandledRejection', (error) => console.log('rejected', String(error)))

const names = Array.from({ length: 10 }, (_, n) => (n === 9 ? 'Unsubscribed' : `n${n + 1}`))
const wait = (ms) => new Promise((done) => setTimeout(done, ms))

const scripts = {
  async '@segment/analytics-node'() {
    const { Analytics } = require('@segment/analytics-node')
    const sender = new Analytics({ writeKey: key, host: url, flushInterval: 100, maxRetries: 6 })
    sender.on('error', (error) => console.log('error', error.code))
    for (const event of names) sender.track({ userId: 'user-1', event, properties: { text: 'Straße' } })
    sender.identify({ userId: 'user-1', traits: { email: 'jané@example.com' } })
    sender.group({ userId: 'user-1', groupId: 'org-9', traits: { name: 'ACME' } })
    await sender.closeAndFlush({ timeout: 40000 })
  },
  async '@customerio/cdp-analytics-node'() {
    const { Analytics } = require('@customerio/cdp-analytics-node')
    const sender = new Analytics({ writeKey: key, host: url, flushInterval: 100, maxRetries: 6 })
    sender.on('error', (error) => console.log('error', error.code))
    for (const event of names) sender.track({ userId: 'user-1', event, properties: { text: 'Straße' } })
    sender.identify({ userId: 'user-1', traits: { email: 'jané@example.com' } })
    sender.group({ userId: 'user-1', groupId: 'org-9', traits: { name: 'ACME' } })
    await sender.closeAndFlush({ timeout: 40000 })
  },
  async '@rudderstack/rudder-sdk-node'() {
    const loaded = require('@rudderstack/rudder-sdk-node')
    const Analytics = loaded.default ?? loaded
    const sender = new Analytics(key, { dataPlaneUrl: url, flushInterval: 100, maxRetries: 6 })
    for (const event of names) sender.track({ userId: 'user-1', event, properties: { text: 'Straße' } })
    sender.identify({ userId: 'user-1', traits: { email: 'jané@example.com' } })
    sender.group({ userId: 'user-1', groupId: 'org-9', traits: { name: 'ACME' } })
    await wait(400)
    await sender.flush().catch((error) => console.log('error', String(error)))
    await wait(3000)
  },
  async '@jitsu/js'() {
    const { jitsuAnalytics } = require('@jitsu/js')
    const sender = jitsuAnalytics({ host: url, writeKey: `web:${key}` })
    await sender.identify('user-1', { email: 'jané@example.com' })
    for (const event of names) await sender.track(event, { text: 'Straße' })
    await sender.group('org-9', { name: 'ACME' })
  },
}

scripts[sdk]().then(() => {
  console.log('done')
  process.exit(0)
})
