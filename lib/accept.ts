/** An element of `Accept`. */
interface MediaRange {
  type: string
  subtype: string
  /** From 0 to 1: the weight that the client gives it. */
  quality: number
  /** 0 for any type, 1 for any subtype, 2 for one media type, 3 for one with parameters. */
  specificity: number
}

const QUALITY = /^(?:0(?:\.\d*)?|1(?:\.0*)?|\.\d+)$/

/** Splits text at a separator outside quoted strings (RFC 9110 section 5.6.4), in linear time. */
function splitOutsideQuotes(text: string, separator: ',' | ';'): string[] {
  const parts: string[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (quoted && char === '\\') i++
    else if (char === '"') quoted = !quoted
    else if (char === separator && !quoted) {
      parts.push(text.slice(start, i))
      start = i + 1
    }
  }
  parts.push(text.slice(start))
  return parts.map((part) => part.trim())
}

/** Parses an element of `Accept` (RFC 9110 section 12.5.1); undefined if it is malformed. */
function parseRange(element: string): MediaRange | undefined {
  const [range = '', ...parameters] = splitOutsideQuotes(element, ';')
  const [type, subtype, ...rest] = range.toLowerCase().split('/')
  if (!type || !subtype || rest.length > 0 || (type === '*' && subtype !== '*')) return undefined
  let quality = 1
  let specificity = type === '*' ? 0 : subtype === '*' ? 1 : 2
  for (const parameter of parameters) {
    const equals = parameter.indexOf('=')
    if (parameter.slice(0, equals).trim().toLowerCase() === 'q') {
      const text = parameter.slice(equals + 1).trim()
      if (!QUALITY.test(text)) return undefined
      quality = Number(text)
    } else if (equals > 0 && specificity === 2) specificity = 3
  }
  return { type, subtype, quality, specificity }
}

const isMatch = ({ type, subtype }: MediaRange, offer: string): boolean => {
  const [offeredType, offeredSubtype] = offer.split('/')
  return (type === '*' || type === offeredType) && (subtype === '*' || subtype === offeredSubtype)
}

/** How acceptable an offer is. `position` is the index of the range that decides. */
interface OfferRating {
  offer: string
  quality: number
  specificity: number
  position: number
}

/**
 * Returns how acceptable an offer is: the most specific range that matches it decides (RFC 9110 section
 * 12.5.1).
 */
function rateOffer(offer: string, ranges: readonly MediaRange[]): OfferRating {
  let rating: OfferRating = { offer, quality: 0, specificity: -1, position: 0 }
  for (const [position, range] of ranges.entries()) {
    if (range.specificity <= rating.specificity || !isMatch(range, offer)) continue
    rating = { offer, quality: range.quality, specificity: range.specificity, position }
  }
  return rating
}

/**
 * Chooses the media type of a response (RFC 9110 section 12.5.1). The highest quality wins; among equals the
 * one whose range is more specific, then the one whose range comes first, then the one that is offered first.
 * Parameters other than `q` exclude no offer, because everything is UTF-8. If no offer is acceptable, the
 * first one that is not excluded by `q=0` is chosen rather than responding with an error status, which would
 * stop a client that can read the response.
 * @param accept the header; an undefined or empty one accepts anything
 * @param offers media types in lower case, without parameters, the preferred one first
 */
export function preferredType<Offer extends string>(
  accept: string | undefined,
  offers: readonly [Offer, ...Offer[]],
): Offer {
  const ranges = splitOutsideQuotes(accept ?? '', ',').flatMap((element) => parseRange(element) ?? [])
  if (ranges.length === 0) return offers[0]
  const ratings = offers.map((offer) => ({ ...rateOffer(offer, ranges), offer }))
  const [best] = ratings
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality || b.specificity - a.specificity || a.position - b.position)
  return best?.offer ?? ratings.find(({ specificity }) => specificity < 0)?.offer ?? offers[0]
}

/** Parses an element of `Accept-Encoding`: a name and its quality; undefined if it is malformed. */
function parseCoding(element: string): { name: string; quality: number } | undefined {
  const [name = '', ...parameters] = element.toLowerCase().split(';')
  const [parameter] = parameters
  if (parameter === undefined) return { name: name.trim(), quality: 1 }
  const [, text = ''] = parameter.split('=').map((part) => part.trim())
  return QUALITY.test(text) ? { name: name.trim(), quality: Number(text) } : undefined
}

/**
 * Chooses the content coding of a response (RFC 9110 section 12.5.3). The highest quality wins; among equals
 * the one that is offered first, and any coding before `identity`. `identity` is available even to a client
 * that excludes it, because it can read it all the same.
 * @param acceptEncoding the header; an undefined or empty one accepts no coding
 * @param offers names of codings in lower case, the preferred one first
 */
export function preferredCoding<Offer extends string>(
  acceptEncoding: string | undefined,
  offers: readonly Offer[],
): Offer | 'identity' {
  const qualities = new Map<string, number>()
  for (const element of (acceptEncoding ?? '').split(',')) {
    const coding = parseCoding(element)
    if (coding && coding.name !== '') qualities.set(coding.name, coding.quality)
  }
  const qualityOf = (name: string) => qualities.get(name) ?? qualities.get('*') ?? 0
  let best: Offer | 'identity' = 'identity'
  let quality = qualities.get('identity') ?? 0
  for (const offer of offers) {
    const offered = qualityOf(offer)
    if (offered > quality || (offered > 0 && offered === quality && best === 'identity')) {
      best = offer
      quality = offered
    }
  }
  return best
}
