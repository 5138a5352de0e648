import t from 'tap'
import { canonicalAddress, containsAddress, isNetwork, networkOf } from '../../lib/address.js'

t.test('each spelling of an address has the same canonical form', async (t) => {
  const spellings: Record<string, string[]> = {
    '203.0.113.50': [
      '203.0.113.50',
      ' 203.0.113.50\t',
      '203.0.113.50:40001',
      '[203.0.113.50]:1',
      '"203.0.113.50:40001"',
      '::ffff:203.0.113.50',
      '::FFFF:203.0.113.50',
      '::ffff:cb00:7132',
      '0:0:0:0:0:FFFF:CB00:7132',
      '[::ffff:203.0.113.50]:40001',
      '::ffff:203.0.113.50:40001',
      '::ffff:203.0.113.50%eth0',
      '0:0:0:0:0:ffff:cb00:7132:40001',
    ],
    '2001:db8::1': [
      '2001:db8::1',
      '2001:DB8::1',
      '2001:0db8:0000:0000:0000:0000:0000:0001',
      '2001:db8:0:0:0:0:0:1',
      '[2001:db8::1]',
      '[2001:db8::1]:443',
      '"[2001:DB8::1]:443"',
      '2001:db8:0:0:0:0:0:1:40001',
    ],
    'fe80::1': ['fe80::1%eth0', 'FE80::1%25en0', '[fe80::1%eth0]:80', '[fe80::1%2]'],
    '::1': ['::1', '0:0:0:0:0:0:0:1', '[::1]:8080'],
  }
  for (const [canonical, written] of Object.entries(spellings)) {
    for (const text of written) t.equal(canonicalAddress(text), canonical, text)
  }
})

t.test('a text that is no address has no canonical form', async (t) => {
  const texts = [
    '',
    'unknown',
    '_hidden',
    '_SEVKISEK',
    '"unknown"',
    'localhost',
    'localhost:80',
    '203.0.113',
    '1',
  ]
  texts.push(
    '0x7f.0.0.1',
    '010.0.0.1',
    '203.0.113.256',
    '203.0.113.5:',
    '203.0.113.5:123456',
    '203.0.113.5:x',
  )
  texts.push(
    '[203.0.113.5',
    '203.0.113.5]',
    '[]',
    '[]:80',
    '::1::',
    '2001:db8::g',
    '1:2:3:4:5:6:7',
    '%eth0',
    '"',
  )
  texts.push('203.0.113.5, 203.0.113.6', `203.0.113.5${' '.repeat(10_000)}x`, '.'.repeat(100_000))
  for (const text of texts) {
    t.equal(canonicalAddress(text), undefined, JSON.stringify(text.slice(0, 40)))
  }
})

t.test('an IPv6 address counts by its network, an IPv4 address by itself', async (t) => {
  t.equal(networkOf('2001:db8:0:1:2:3:4:5', 64), '2001:db8:0:1::/64')
  t.equal(networkOf('2001:db8:0:1::ffff', 64), networkOf('2001:db8:0:1::1', 64))
  t.not(networkOf('2001:db8:0:2::1', 64), networkOf('2001:db8:0:1::1', 64))
  t.equal(networkOf('2001:db8:aa:bbcc::1', 56), '2001:db8:aa:bb00::/56')
  t.equal(networkOf('2001:db8:aa:bbcc::1', 48), '2001:db8:aa::/48')
  t.equal(networkOf('203.0.113.50', 64), '203.0.113.50')
  t.equal(networkOf('unknown', 64), 'unknown')
})

t.test('an address is found in networks of either family', async (t) => {
  const contains = containsAddress([
    'loopback',
    '10.0.0.0/8',
    '2001:db8::/32',
    '::ffff:192.0.2.0/120',
    'fe80::1%eth0',
  ])
  for (const address of ['127.0.0.9', '::1', '10.255.0.1', '2001:db8:ffff::1', '192.0.2.7', 'fe80::1']) {
    t.ok(contains(address), address)
  }
  for (const address of ['11.0.0.1', '2001:db9::1', '192.0.3.1', 'fe80::2', 'unknown', '']) {
    t.notOk(contains(address), address)
  }
  t.notOk(containsAddress([])('127.0.0.1'))
  t.ok(containsAddress(['0.0.0.0/0'])('203.0.113.1'))
  t.notOk(isNetwork('constructor'))
  t.notOk(isNetwork('::ffff:0:0/64'), 'a prefix that ends before the IPv4 part')
})
