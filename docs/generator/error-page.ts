import { status } from '@grpc/grpc-js'
import { isTransient, REASONS } from '../../src/core/errors.ts'
import { CODES } from '../../src/wire/status.ts'
import { REASON_PROSE } from './reason-prose.ts'
import { table } from './table.ts'

/** docs/reference/errors.md. */
export function errorPage(): readonly string[] {
  return [
    '# Errors',
    '',
    'Whatever is refused or fails has one of these reasons. The same word stands in the events of the pod',
    "(`desc = Reason: text`), in both sides' logs (`reason`), in the metrics (label `reason`) and in the",
    'mount API. [Troubleshooting](../troubleshooting.md) begins with what you see.',
    '',
    ...table(
      ['reason', 'gRPC code', 'passes by itself', 'what it means', 'what to do'],
      REASONS.map((reason) => [
        reason,
        status[CODES[reason]],
        isTransient(reason) ? 'it can' : 'no',
        REASON_PROSE[reason].meaning,
        REASON_PROSE[reason].remedy,
      ]),
    ),
    '',
    'The code is chosen by one question: could bytes still land at the target after this answer? If they',
    'could, kubelet must unpublish later, and it does so only after the codes that it takes for uncertain',
    '(ABORTED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE). It tries again after every code, at first',
    'after half a second, at last every two minutes.',
    '',
    'Messages name what to fix and never contain a value or a token. What led to an error is in the log only.',
  ]
}
