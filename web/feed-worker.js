import { Connection } from './connection.js'

const connection = new Connection()

addEventListener('connect', ({ ports: [port] }) => connection.accept(port))
