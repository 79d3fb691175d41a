import test from 'ava'
import { grantHint } from '../../../src/daemon/kube/grant-hint.ts'

test('the hint is the two commands that grant one account one Secret', (t) => {
  const hint = grantHint({ namespace: 'shop', secret: 'db.credentials', serviceAccount: 'api' })
  t.is(
    hint,
    [
      'kubectl -n shop create role latchkey-db.credentials --verb=get,watch --resource=secrets --resource-name=db.credentials',
      'kubectl -n shop create rolebinding latchkey-db.credentials-api --role=latchkey-db.credentials --serviceaccount=shop:api',
    ].join('\n'),
  )
})
