/**
 * Returns the form of a username that is used for lookups and limits. Usernames are ASCII, so other forms of
 * their letters that keyboards produce, such as full-width ones, are the same name. Case is not folded here,
 * because that must be limited to ASCII letters.
 */
export const usernameForm = (typed: string): string => typed.normalize('NFKC')
