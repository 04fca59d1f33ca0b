// The same requests to Haat and to oidc-provider, an authorization server that many use: status and error code have to be
// the same, but for what stands in comparison/differences.js with its reason.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { CASES } from './comparison/cases.js';
import { DIFFERENCES } from './comparison/differences.js';
import { FORM, pairs } from './comparison/requests.js';
import { Haat } from './haat.js';
import { startProvider } from './oidc-provider.js';

let haat, provider;
before(async () => {
    haat = await Haat.start();
    provider = await startProvider(haat);
});
after(async () => {
    provider?.stop();
    await haat?.stop();
});

/** Sends a request; gives the answer's status and error code. */
async function send(server, make) {
    const { path = 'token', method = 'POST', headers = {}, form = {}, type = FORM } = await make(server);
    const body = typeof form === 'string' ? form : new URLSearchParams(pairs(form)).toString();
    const answer = await fetch(`${server.url}/oauth/${path}`, {
        method,
        headers: { ...(type && method === 'POST' && { 'content-type': type }), ...headers },
        // As bytes: fetch adds a content type to a text.
        ...(method === 'POST' && { body: Buffer.from(body) }),
    });
    if (server === haat && answer.status === 401) assert.match(answer.headers.get('www-authenticate'), /^Basic /);
    if (server === haat) assert.match(answer.headers.get('cache-control'), /no-store/);
    const text = await answer.text();
    let error;
    try {
        error = JSON.parse(text).error;
    } catch {
        // Not an OAuth error: the status alone is compared.
    }
    return `${answer.status} ${error ?? '-'}`;
}

const KNOWN = new Map(DIFFERENCES.flatMap((difference) => difference.cases.map((name) => [name, difference])));

test('cases are many', () => assert.ok(Object.keys(CASES).length >= 40));

test('every known difference is one case, and says why', () => {
    const names = DIFFERENCES.flatMap(({ cases }) => cases);
    assert.equal(KNOWN.size, names.length, 'a case is there twice');
    assert.deepEqual(
        names.filter((name) => !(name in CASES)),
        [],
    );
    for (const { haat: ours, provider: theirs, rfc, why } of DIFFERENCES) {
        assert.notEqual(ours, theirs);
        assert.match(rfc, /^RFC \d+ (§|Appendix )|^draft-/);
        assert.ok(why);
    }
});

for (const [name, what] of Object.entries(CASES)) {
    test(name, async () => {
        const answers = {};
        for (const [who, server] of Object.entries({ haat, provider })) {
            if (what.twice) {
                const request = await what.twice(server);
                await send(server, () => request);
                answers[who] = await send(server, () => request);
            } else {
                answers[who] = await send(server, what);
            }
        }
        const known = KNOWN.get(name);
        if (known) {
            assert.deepEqual(
                answers,
                { haat: known.haat, provider: known.provider },
                'not the known difference any more',
            );
        } else {
            assert.equal(answers.haat, answers.provider, `Haat: ${answers.haat}, oidc-provider: ${answers.provider}`);
        }
        if (name.startsWith('good: ')) assert.match(answers.haat, /^200 /);
    });
}
