import js from '@eslint/js'
import tseslint from 'typescript-eslint'

/** `schemas ← lib, store, feed, formats ← plugins, routes ← app ← server`: what a folder may not import. */
const mayNotImport = (files, ...folders) => ({
  files: files.map((folder) => `${folder}/**/*.ts`),
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^\\.\\./(${folders.join('|')})`,
            message: 'See "The house" in docs/architecture.md: imports go one way.',
          },
        ],
      },
    ],
  },
})

/** What the pages use of the browser. */
const BROWSER = [
  'AbortController',
  'BroadcastChannel',
  'Event',
  'EventSource',
  'FormData',
  'MessageChannel',
  'SharedWorker',
  'URL',
  'URLSearchParams',
  'addEventListener',
  'clearTimeout',
  'document',
  'fetch',
  'history',
  'innerHeight',
  'location',
  'navigator',
  'queueMicrotask',
  'requestAnimationFrame',
  'scrollBy',
  'scrollTo',
  'sessionStorage',
  'setInterval',
  'setTimeout',
]

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
  {
    files: ['web/**/*.js', 'test/**/*.js'],
    languageOptions: { globals: Object.fromEntries(BROWSER.map((name) => [name, 'readonly'])) },
  },
  // tap runs what `t.test` is given in order, awaited or not.
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-floating-promises': 'off' } },
  mayNotImport(
    ['schemas'],
    'store/',
    'feed/',
    'plugins/',
    'routes/',
    'app\\.js',
    'server\\.js',
    'config\\.js',
    'errors\\.js',
  ),
  mayNotImport(['store'], 'feed/', 'plugins/', 'routes/', 'app\\.js', 'server\\.js', 'config\\.js'),
  mayNotImport(
    ['feed'],
    'store/',
    'plugins/',
    'routes/',
    'app\\.js',
    'server\\.js',
    'config\\.js',
    'errors\\.js',
  ),
  mayNotImport(
    ['lib'],
    'schemas/',
    'store/',
    'feed/',
    'formats/',
    'plugins/',
    'routes/',
    'app\\.js',
    'server\\.js',
    'config\\.js',
    'errors\\.js',
  ),
  mayNotImport(
    ['formats'],
    'store/',
    'feed/',
    'plugins/',
    'routes/',
    'app\\.js',
    'server\\.js',
    'config\\.js',
  ),
  mayNotImport(['plugins'], 'routes/', 'app\\.js', 'server\\.js'),
  mayNotImport(['routes'], 'plugins/', 'routes/', 'app\\.js', 'server\\.js'),
  // A client knows the service by the wire alone, and shares the small pure modules.
  mayNotImport(['cli', 'demo'], '(?!lib/)'),
  // The kit judges any server, so it knows nothing of this one: only its own folder, and Node.
  mayNotImport(['conformance'], ''),
  mayNotImport(['conformance/checks'], '\\.\\./'),
)
