import type { ContractCase } from '../api-contract.ts'
import { ask } from '../api-request.ts'
import { createTenant } from './tenant.ts'

export const EVENT_CASES: readonly ContractCase[] = [
  {
    title: 'an event about a pod is taken once by its name, and only in the pod’s own namespace',
    async run(t, api) {
      const { namespace, pod } = await createTenant(api)
      const token = await api.eventWriterToken()
      const path = `/api/v1/namespaces/${namespace}/events`
      const body = {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name: 'api-0.0001', namespace },
        involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name: pod.name, uid: pod.uid },
        type: 'Warning',
        reason: 'SecretNotFound',
        message: 'stale',
        source: { component: 'latchkey', host: api.nodeName },
        reportingComponent: 'latchkey',
        reportingInstance: api.nodeName,
        count: 2,
        firstTimestamp: '2026-11-21T09:00:00Z',
        lastTimestamp: '2026-11-21T10:00:00Z',
      }
      const created = await ask(api, { method: 'POST', path, token, body })
      t.is(created.status, 201)
      t.like(created.json(), {
        kind: 'Event',
        type: 'Warning',
        reason: 'SecretNotFound',
        message: 'stale',
        count: 2,
      })
      const again = await ask(api, { method: 'POST', path, token, body })
      t.is(again.status, 409)
      t.like(again.json(), {
        reason: 'AlreadyExists',
        message: 'events "api-0.0001" already exists',
      })
      const elsewhere = { ...body.involvedObject, namespace: 'default' }
      const strange = {
        ...body,
        metadata: { name: 'api-0.0002', namespace },
        involvedObject: elsewhere,
      }
      const refused = await ask(api, { method: 'POST', path, token, body: strange })
      t.is(refused.status, 422)
      t.regex(String(refused.json()['message']), /does not match event\.namespace$/)
    },
  },
  {
    title: 'who may not create events is told so, user and namespace named',
    async run(t, api) {
      const namespace = await api.createNamespace()
      const token = await api.reviewerToken()
      const path = `/api/v1/namespaces/${namespace}/events`
      const body = { metadata: { name: 'e', namespace }, involvedObject: { namespace } }
      const refused = await ask(api, { method: 'POST', path, token, body })
      t.is(refused.status, 403)
      t.regex(
        String(refused.json()['message']),
        new RegExp(
          `^events is forbidden: User "system:serviceaccount:\\S+" cannot create resource "events" in API group "" in the namespace "${namespace}"$`,
        ),
      )
    },
  },
]
