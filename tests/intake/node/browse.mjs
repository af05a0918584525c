// node browse.mjs CHROMIUM SDK API KEY SHIFT: opens a page of another origin that sends with a browser SDK; stays until its input is closed.
import http from 'node:http'
import { build } from 'esbuild'
import puppeteer from 'puppeteer-core'

const [chromium, sdk, api, key, shift] = process.argv.slice(2)
const bundled = await build({ entryPoints: ['page.js'], bundle: true, write: false, format: 'iife', platform: 'browser', logLevel: 'error', define: { 'process.env.NODE_ENV': '"production"' } })
const script = bundled.outputFiles[0].contents
const site = http.createServer((request, answer) => {
  const plain = request.url.startsWith('/page.js')
  answer.writeHead(200, { 'content-type': plain ? 'text/javascript' : 'text/html; charset=utf-8' })
  answer.end(plain ? script : '<!doctype html><title>shop</title><script src="/page.js"></script>')
})
await new Promise((done) => site.listen(0, '127.0.0.1', done))

const browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
const page = await browser.newPage()
page.on('pageerror', (error) => console.log('pageerror', error.message))
page.on('console', (message) => message.type() === 'error' && console.log('console', message.text()))
await page.goto(`http://localhost:${site.address().port}/?${new URLSearchParams({ sdk, api, key, shift })}`)
console.log('open')
process.stdin.resume()
await new Promise((done) => process.stdin.on('end', done))
await page.goto('about:blank')
await browser.close()
site.close()
console.log('done')
