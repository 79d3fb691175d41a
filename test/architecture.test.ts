import { readFileSync } from 'node:fs'
import test from 'ava'
import { findViolations, type Rules } from './architecture/rules.ts'
import { readSourceTree } from './architecture/source-tree.ts'

const PROJECT = new URL('../', import.meta.url).pathname

const NETWORK = [
  'http',
  'https',
  'http2',
  'tls',
  'dns',
  'dns/promises',
  'dgram',
  'quic',
  'cluster',
  'child_process',
].map((name) => `node:${name}`)

const RULES: Rules = {
  layers: {
    'src/core/': [],
    'src/syscalls/': ['src/core/'],
    // Peer credentials are asked for on every socket; mounting is the host side's alone.
    'src/wire/': ['src/core/', 'src/syscalls/peer-credentials.ts'],
    'src/config/': ['src/core/'],
    'src/observability/': ['src/core/'],

    'src/host/': [
      'src/core/',
      'src/syscalls/',
      'src/wire/',
      'src/config/',
      'src/observability/',
      'src/host/',
    ],
    'src/host/csi/': [
      'src/core/',
      'src/wire/',
      'src/observability/',
      'src/host/volume/volume-store.ts',
    ],
    'src/host/volume/': ['src/core/', 'src/syscalls/'],

    // In the order in which a mount passes through them.
    'src/daemon/': ['src/core/', 'src/wire/', 'src/config/', 'src/observability/', 'src/daemon/'],
    'src/daemon/kube/': ['src/core/', 'src/wire/'],
    'src/daemon/identity/': ['src/core/', 'src/daemon/kube/'],
    'src/daemon/sources/': ['src/core/', 'src/daemon/kube/', 'src/daemon/identity/'],
    'src/daemon/refresh/': [
      'src/core/',
      'src/wire/',
      'src/observability/',
      'src/daemon/identity/',
      'src/daemon/sources/',
    ],
    'src/daemon/events/': ['src/core/', 'src/observability/', 'src/daemon/kube/'],
    'src/daemon/diagnose/': [
      'src/core/',
      'src/wire/',
      'src/config/',
      'src/observability/',
      'src/daemon/kube/',
    ],
    'src/daemon/mount/': [
      'src/core/',
      'src/wire/',
      'src/observability/',
      'src/daemon/identity/',
      'src/daemon/sources/',
      'src/daemon/refresh/',
      'src/daemon/events/',
    ],

    // It plays the other side of our wires, and must not know how we are made.
    'src/minicluster/': ['src/core/', 'src/wire/'],
    'src/cli/': ['src/'],
    'src/main.ts': ['src/cli/'],
  },

  packages: {
    '@grpc/grpc-js': {
      owners: ['src/wire/'],
      types: ['src/host/', 'src/daemon/', 'src/minicluster/'],
    },
    '@grpc/proto-loader': { owners: ['src/wire/'] },
    protobufjs: { owners: ['src/wire/'] },
    '@kubernetes/client-node': { owners: ['src/daemon/kube/'] },
    undici: { owners: ['src/daemon/kube/'] },
    'node-forge': { owners: ['src/minicluster/'] },
    pino: { owners: ['src/observability/'] },
    'prom-client': { owners: ['src/observability/'] },
    // `items` is a list in YAML, too.
    yaml: { owners: ['src/config/', 'src/daemon/sources/'] },
    zod: { owners: ['src/config/', 'src/daemon/sources/'] },
    koffi: { owners: ['src/syscalls/'] },
  },

  builtins: {
    'node:http': ['src/daemon/http-server.ts', 'src/daemon/sources/vault/', 'src/minicluster/'],
    'node:https': ['src/daemon/sources/vault/', 'src/minicluster/'],
    // The daemon's is undici's to import; there it is the type of a stream.
    'node:http2': ['src/daemon/kube/stream-errors.ts', 'src/minicluster/'],
    'node:tls': ['src/daemon/kube/', 'src/minicluster/'],
    'node:dns': [],
    'node:dns/promises': [],
    'node:dgram': [],
    'node:quic': [],
    // The host side has it for unix sockets alone, which src/wire/ opens and dials by their paths.
    'node:net': [
      'src/wire/',
      'src/host/csi/csi-server.ts',
      'src/config/kinds.ts',
      'src/cli/daemon-call.ts',
      'src/daemon/http-server.ts',
      'src/daemon/mount/mount-server.ts',
      'src/minicluster/',
    ],
    // Of a debugger's powers the garbage collector only, and whether one has been let in.
    'node:inspector': ['src/syscalls/freed-memory.ts', 'src/cli/debuggers.ts'],
    'node:inspector/promises': [],
    'node:repl': [],
    // No shell and no other program: what we need of the kernel is in src/syscalls/.
    // The demo runs itself again in a mount namespace of its own.
    'node:child_process': ['src/cli/demo.ts'],
    'node:cluster': [],
    'node:worker_threads': [],
    'node:vm': [],
    'node:module': [],
  },

  closed: [
    // What runs as root on the node: no HTTP, TLS or Kubernetes code, by whatever detour. grpc-js speaks
    // HTTP/2 itself, over unix sockets only, and is shut in by src/wire/; prom-client has a push gateway's
    // client in it, which src/observability/ does not let out.
    ...['src/host/', 'src/cli/host.ts', 'src/cli/host-start.ts'].map((room) => ({
      room,
      files: ['src/daemon/', 'src/minicluster/'],
      builtins: NETWORK,
      onlyPackages: [
        '@grpc/grpc-js',
        '@grpc/proto-loader',
        'koffi',
        'pino',
        'prom-client',
        'yaml',
        'zod',
      ],
    })),
    // What holds the network: nothing that mounts.
    ...['src/daemon/', 'src/cli/daemon.ts'].map((room) => ({
      room,
      files: [
        'src/host/',
        'src/minicluster/',
        'src/syscalls/mount-api.ts',
        'src/syscalls/kernel-features.ts',
      ],
    })),
    // Run by hand in the host container, within its memory limit: what asks a question loads neither side.
    ...['src/cli/list.ts', 'src/cli/refresh.ts'].map((room) => ({
      room,
      files: ['src/host/', 'src/daemon/', 'src/minicluster/', 'src/syscalls/'],
      onlyPackages: ['@grpc/grpc-js', '@grpc/proto-loader', 'yaml', 'zod'],
    })),
    { room: 'src/minicluster/', files: ['src/host/', 'src/daemon/', 'src/syscalls/mount-api.ts'] },
    // A command loads what it needs when it is called; `latchkey --help` loads next to nothing.
    {
      room: 'src/main.ts',
      files: [
        'src/host/',
        'src/daemon/',
        'src/minicluster/',
        'src/wire/',
        'src/config/',
        'src/syscalls/',
      ],
      onlyPackages: [],
    },
  ],

  maxLines: 300,
  longFiles: {},
  exits: [
    'src/main.ts',
    // A stop that hangs, or a second signal, cannot wait for main to return.
    'src/cli/lifetime.ts',
  ],
  // Beside modules, Node has globals that reach the network. The demo reads its own daemon's metrics.
  webClients: ['src/cli/demo-story.ts'],
  generated: ['src/wire/gen/'],
}

test('the sources keep to the map of the house', (t) => {
  const tree = readSourceTree(PROJECT, 'src')
  t.true(tree.length > 50)
  t.deepEqual(findViolations(tree, RULES), [])
})

test('every npm package that ships has an owner, and no other package has one', (t) => {
  const { dependencies } = JSON.parse(readFileSync(`${PROJECT}package.json`, 'utf8')) as {
    dependencies: Record<string, string>
  }
  t.deepEqual(Object.keys(RULES.packages).toSorted(), Object.keys(dependencies).toSorted())
})
