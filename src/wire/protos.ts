import { fileURLToPath } from 'node:url'
import { loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync, type Options } from '@grpc/proto-loader'
import type { ProtoGrpcType as RegistrationProto } from './gen/api.ts'
import type { ProtoGrpcType as CsiProto } from './gen/csi.ts'
import type { ProtoGrpcType as MountProto } from './gen/mount.ts'
import { wipeReadBytes } from './read-bytes.ts'

/** Two folders up from here and from the bundle (dist/app/bin) alike. */
export const PROTO_FOLDER = fileURLToPath(new URL('../../proto', import.meta.url))

const OPTIONS: Options = {
  includeDirs: [PROTO_FOLDER],
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
}

// Parsing a proto takes some milliseconds of a start that kubelet waits for: each side loads its own.
export function loadCsi(): CsiProto['csi']['v1'] {
  return (load('csi/v1/csi.proto') as CsiProto).csi.v1
}

export function loadRegistration(): RegistrationProto['pluginregistration'] {
  return (load('pluginregistration/v1/api.proto') as RegistrationProto).pluginregistration
}

export function loadMount(): MountProto['latchkey']['mount']['v1'] {
  return (load('latchkey/mount/v1/mount.proto') as MountProto).latchkey.mount.v1
}

function load(file: string): unknown {
  // Whoever speaks gRPC comes by here first.
  wipeReadBytes()
  return loadPackageDefinition(loadSync(file, OPTIONS))
}
