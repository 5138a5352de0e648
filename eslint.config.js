import js from '@eslint/js'
import tseslint from 'typescript-eslint'

/**
 * The layers of the service, in order. A folder or a file imports from earlier layers and from itself, never
 * from its neighbours or from later layers (docs/architecture.md).
 */
const LAYERS = [
  ['lib'],
  ['errors.ts', 'schemas'],
  ['feed', 'lib/formats', 'store'],
  ['config.ts', 'embedded'],
  ['plugins', 'routes'],
  ['app.ts'],
  ['server.ts'],
  ['cli'],
  ['tools'],
  ['test'],
]

/** Clients of the API: they know the service by its responses. They share the small modules of `lib`. */
const CLIENTS = ['cli', 'tools/demo']

const forbid = (unit, regex) => ({
  files: [unit.endsWith('.ts') ? unit : `${unit}/**/*.ts`],
  // A folder in another folder is a unit of its own.
  ignores: [...LAYERS.flat(), ...CLIENTS]
    .filter((other) => other.startsWith(`${unit}/`))
    .map((other) => `${other}/**`),
  rules: {
    'no-restricted-imports': [
      'error',
      { patterns: [{ regex, message: 'See "The layers" in docs/architecture.md: imports go one way.' }] },
    ],
  },
})

const imported = (unit) => (unit.endsWith('.ts') ? unit.replace(/ts$/, 'js') : `${unit}/`)

/** Matches the imports of later layers and neighbours, wherever in `unit` the importing file is. */
const outOfReachOf = (unit, rank) => {
  const others = LAYERS.slice(rank)
    .flat()
    .filter((other) => other !== unit)
  const inside = others
    .filter((other) => other.startsWith(`${unit}/`))
    .map((other) => other.slice(unit.length + 1))
  const within = (prefix, names) => `^${prefix}(?:${names.map(imported).join('|')})`
  return [
    within(unit.endsWith('.ts') ? '\\./' : '(?:\\.\\./)+', others),
    ...(inside.length > 0 ? [within('\\./', inside)] : []),
  ].join('|')
}

const layers = LAYERS.slice(0, -1).flatMap((layer, rank) =>
  layer.map((unit) => forbid(unit, outOfReachOf(unit, rank))),
)

export default tseslint.config(
  { ignores: ['dist', '.tap', '.silo', '.silo-demo'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
    },
  },
  // The script that a page of another origin runs: a browser is all that knows its globals.
  { files: ['test/**/*.js'], rules: { 'no-undef': 'off' } },
  {
    files: ['web/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(?!\\.\\.?/(?:pages/|parts/|feed/)?[\\w-]+\\.js$)',
              allowTypeImports: true,
              message: 'A browser has the modules of web/ only. Import nothing but types of the service.',
            },
          ],
        },
      ],
    },
  },
  // tap runs what `t.test` is given in order, awaited or not.
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-floating-promises': 'off' } },
  layers,
  CLIENTS.map((client) => forbid(client, '^(?:\\.\\./)+(?!\\.\\./|lib/)')),
  // The kit judges any server, so it knows nothing of this one: only its own folder, and Node.
  forbid('tools/conformance', '^\\.\\./'),
  forbid('tools/conformance/checks', '^\\.\\./\\.\\.'),
)
