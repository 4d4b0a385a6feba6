// The npm `mqtt` client against the broker, over TCP, TLS, WebSocket and secure WebSocket.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import mqtt from 'mqtt'

const port = (name) => process.env[`INTEROP_${name.toUpperCase()}_PORT`]
const ca = readFileSync(`${process.env.INTEROP_DIR}/ca.pem`)
const LINKS = {
  tcp: `mqtt://127.0.0.1:${port('tcp')}`,
  tls: `mqtts://127.0.0.1:${port('tls')}`,
  ws: `ws://127.0.0.1:${port('ws')}/mqtt`,
  wss: `wss://127.0.0.1:${port('wss')}/mqtt`
}
const VERSIONS = {
  3.1: { protocolVersion: 3, protocolId: 'MQIsdp' },
  '3.1.1': { protocolVersion: 4 },
  5: { protocolVersion: 5 }
}
const open = new Set()

// Listens from the start: a continued session's messages may come right behind CONNACK.
async function connect (link, options = {}) {
  const client = mqtt.connect(LINKS[link], { ca, reconnectPeriod: 0, ...options })
  open.add(client)
  client.arrived = []
  client.waiting = []
  client.on('message', (topic, payload, packet) => {
    const message = { topic, payload, packet }
    const waiter = client.waiting.shift()
    if (waiter) waiter(message)
    else client.arrived.push(message)
  })
  client.message = () => client.arrived.length
    ? Promise.resolve(client.arrived.shift())
    : new Promise((resolve) => client.waiting.push(resolve))
  await once(client, 'connect')
  return client
}

async function closeAll () {
  await Promise.all([...open].map((client) => client.endAsync(client.stream?.destroyed ?? true)))
  open.clear()
}

for (const link of Object.keys(LINKS)) {
  for (const [name, version] of Object.entries(VERSIONS)) {
    test(`${link}, MQTT ${name}: every QoS`, { timeout: 60000 }, async (t) => {
      t.after(closeAll)
      const [a, b] = [await connect(link, version), await connect(link, version)]
      for (const qos of [0, 1, 2]) {
        const topic = `npm/${link}/${name}/${qos}`
        const granted = await a.subscribeAsync(topic, { qos })
        assert.equal(granted[0].qos, qos)
        const sent = []
        for (let i = 0; i < 50; i++) sent.push(b.publishAsync(topic, `${i}`, { qos }))
        await Promise.all(sent)
        for (let i = 0; i < 50; i++) {
          const m = await a.message()
          assert.equal(m.payload.toString(), `${i}`)
          assert.equal(m.packet.qos, qos)
        }
      }
    })
  }

  test(`${link}: a large payload`, { timeout: 60000 }, async (t) => {
    t.after(closeAll)
    const client = await connect(link)
    const payload = Buffer.alloc(900000, (i) => i & 255)
    await client.subscribeAsync('npm/large', { qos: 1 })
    await client.publishAsync('npm/large', payload, { qos: 1 })
    assert.ok((await client.message()).payload.equals(payload))
  })
}

test('retained messages', { timeout: 60000 }, async (t) => {
  t.after(closeAll)
  const client = await connect('ws', VERSIONS[5])
  await client.publishAsync('npm/kept', 'x', { qos: 1, retain: true })
  await client.subscribeAsync('npm/kept')
  assert.equal((await client.message()).packet.retain, true)
  await client.publishAsync('npm/kept', '', { qos: 1, retain: true })
})

test('properties', { timeout: 60000 }, async (t) => {
  t.after(closeAll)
  const client = await connect('wss', VERSIONS[5])
  await client.subscribeAsync('npm/props', { qos: 1, properties: { subscriptionIdentifier: 9 } })
  await client.publishAsync('npm/props', 'x', {
    qos: 1,
    properties: {
      contentType: 'text/plain',
      responseTopic: 're',
      correlationData: Buffer.from([0, 1]),
      userProperties: { a: ['1', '2'], b: '3' },
      messageExpiryInterval: 60
    }
  })
  const { properties } = (await client.message()).packet
  assert.equal(properties.contentType, 'text/plain')
  assert.equal(properties.responseTopic, 're')
  assert.deepEqual([...properties.correlationData], [0, 1])
  assert.deepEqual({ ...properties.userProperties }, { a: ['1', '2'], b: '3' })
  assert.equal(properties.subscriptionIdentifier, 9)
  assert.ok(properties.messageExpiryInterval <= 60)
})

test('a session is continued', { timeout: 60000 }, async (t) => {
  t.after(closeAll)
  const options = { ...VERSIONS[5], clientId: 'npm-stay', clean: false, properties: { sessionExpiryInterval: 60 } }
  const first = await connect('tcp', options)
  await first.subscribeAsync('npm/stay', { qos: 1 })
  await first.endAsync()
  const other = await connect('ws')
  await other.publishAsync('npm/stay', 'while away', { qos: 1 })
  const second = await connect('tls', options)
  assert.equal((await second.message()).payload.toString(), 'while away')
})

test('a will is sent', { timeout: 60000 }, async (t) => {
  t.after(closeAll)
  const watcher = await connect('tcp')
  await watcher.subscribeAsync('npm/will')
  const victim = await connect('ws', { will: { topic: 'npm/will', payload: 'bye', qos: 1 } })
  victim.on('error', () => {})
  victim.stream.destroy()
  assert.equal((await watcher.message()).payload.toString(), 'bye')
})
