// The crate `oauth2`, through the program in ../oauth2-rs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { Haat } from './haat.js';

const program = process.env.HAAT_OAUTH2_RS;

let haat;
before(async () => {
    haat = await Haat.start();
});
after(() => haat?.stop());

test('the crate oauth2 gets and uses tokens', async () => {
    assert.ok(program, 'HAAT_OAUTH2_RS must be the path of the program; interop/oauth/run sets it');
    const { basic, post } = haat.clients;
    const { stdout } = await promisify(execFile)(program, [haat.url, basic.id, basic.secret, post.id, post.secret]);
    assert.deepEqual(stdout.trim().split('\n'), ['ok: BasicAuth', 'ok: RequestBody', 'ok: a refusal']);
});
