import {
  compressionAlgorithms,
  credentials,
  type ChannelCredentials,
  type ChannelOptions,
} from '@grpc/grpc-js'

export interface UnixChannel {
  readonly target: string
  readonly credentials: ChannelCredentials
  readonly options: ChannelOptions
}

/**
 * How to reach a socket next door: its server may be gone for seconds, and is back within them. `vetted`:
 * credentials that are particular about that server, see vetted-socket.ts.
 */
export function unixChannel(
  path: string,
  maxMessageBytes: number,
  vetted?: ChannelCredentials,
): UnixChannel {
  return {
    target: `unix:${path}`,
    credentials: vetted ?? credentials.createInsecure(),
    options: {
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
      // The defaults, up to two minutes, are meant for servers across a network.
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 1_000,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.enable_http_proxy': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.default_compression_algorithm': compressionAlgorithms.identity,
      // One channel per socket and process: two of the same path in one test must not share state.
      'grpc.use_local_subchannel_pool': 1,
      // kubelet's own authority on csi.sock; a raw path is refused by Node's HTTP/2.
      'grpc.default_authority': 'localhost',
    },
  }
}
