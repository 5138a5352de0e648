import t from 'tap'

t.pass('nothing to stop')
