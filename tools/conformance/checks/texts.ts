import type { Dispatched } from '../grammar.js'

/** 2,000 characters; 10 kB as JSON. */
export const LONG_TEXT = '\u001f🚀'.repeat(1000)

/** Texts that end a line, a field or an event in some parser, or resemble one. */
export const hostileTexts: Record<string, string> = {
  'a line feed': 'before\nafter',
  'a carriage return': 'before\rafter',
  'both of them': 'before\r\nafter',
  'an empty line': 'before\n\nafter\r\r',
  'a field': 'before\ndata: injected\nid: evil\nretry: 1',
  'an event': 'before\n\nid: evil\nevent: evil\ndata: {}\n\n',
  'the same by carriage return': 'before\r\rid: evil\revent: evil\rdata: {}\r\r',
  'line separators': 'before\u2028\u2029\u0085\v\fafter',
  'a comment': ': before',
  'spaces at the ends': '  between  ',
  'a byte order mark': 'before\n\uFEFFdata: after\uFEFF',
  'an escaped NUL': 'before\\u0000after\\',
  'quotes and brackets': '"}]\'</script>',
  'signs of four bytes': '👩🏽‍🚀𝕊𝕊𝔼 x\u0301 \u202e',
  'a line of 10 kB': LONG_TEXT,
}

/** Returns every string anywhere in a JSON value. */
function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : []
}

/** Whether the data of the event contains this text: as a string in JSON, or as plain text. */
export function carries({ data }: Dispatched, text: string): boolean {
  try {
    return stringsIn(JSON.parse(data)).includes(text)
  } catch {
    return data.includes(text.replace(/\r\n?/g, '\n'))
  }
}
