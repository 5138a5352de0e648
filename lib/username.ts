/**
 * A username as it is looked up, and counted by limits. Usernames are ASCII: what a keyboard makes of them, like full-width
 * letters, is the same name. Case is not folded here, for only ASCII letters are alike in both cases.
 */
export const usernameForm = (typed: string): string => typed.normalize('NFKC')
