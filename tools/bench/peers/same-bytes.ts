/** Responds to every request with the body (a file) and the status that are its arguments. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { listenAndTell } from './peer.js'

const [, , file = '', status = '200'] = process.argv
const body = readFileSync(file)
const headers = body.length > 0 ? { 'content-type': 'application/json', 'content-length': body.length } : {}

listenAndTell(createServer((_request, response) => response.writeHead(Number(status), headers).end(body)))
