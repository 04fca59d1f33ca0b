// 2,000 products of commercetools, through a proxy that lets a third of all requests fail.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { everyKind, KINDS, only, RETRY_AFTER } from './upstream/faults.js';
import { Expectation, read } from './upstream/expected.js';
import { SEED } from './upstream/random.js';
import { eventually } from '../server.js';
import { commercetools, CURRENCY, LOCALES, World } from './world.js';

const PRODUCTS = 2_000;
// So that many requests can fail. Without it there are four: pages of 500 are what the kind asks for by itself.
const MANY_PAGES = { page_size: 100 };

let world, haat, proxy;
before(async () => {
    world = await World.start(PRODUCTS, (world) => commercetools(world, MANY_PAGES));
    ({ haat, proxy } = world);
});
after(() => world?.stop());

/** What the catalogue has to be, from what the mock has now. */
async function expected() {
    return new Expectation(await read(world.api), { locales: LOCALES, currency: CURRENCY }).products();
}

async function assertEqualToUpstream() {
    const [wanted, got] = await Promise.all([expected(), world.catalogue()]);
    assert.deepEqual([...got.keys()].sort(), [...wanted.keys()].sort(), 'other products than upstream');
    for (const [sku, product] of wanted) assert.deepEqual(got.get(sku), product, sku);
    return wanted;
}

function assertDone({ code, run, log }, counts) {
    const told = `${run.message}\n${JSON.stringify(run.errors, undefined, 1)}\n${log}`;
    assert.equal(run.state, 'done', told);
    const wanted = { created: 0, updated: 0, stale: 0, failed: 0, vanished: 0, removed: 0, ...counts };
    for (const [name, count] of Object.entries(wanted)) assert.equal(run.counts[name], count, `${name}: ${told}`);
    assert.equal(code, 0, told);
}

/** How many requests ended as they should not: for a fault, or because Haat had waited long enough. */
const failures = () => [...KINDS, 'left'].reduce((sum, kind) => sum + proxy.count(kind), 0);

/** That nobody came back to a throttled page earlier than it said. */
function assertPatient() {
    const pairs = proxy.requests.map((request, i) => [request, proxy.requests[i + 1]]);
    const waits = pairs.filter(([request, next]) => request.ended === '429' && next);
    assert.ok(waits.length > 0);
    for (const [request, next] of waits) {
        const waited = next.at - request.at;
        assert.ok(waited >= RETRY_AFTER * 1_000, `asked again after ${waited.toFixed()} ms`);
    }
}

test('after a sync through 429, 500, hangs and cut bodies the catalogue is the upstream, field by field', async (t) => {
    proxy.attend(everyKind(SEED));
    const synced = await haat.sync('shop');
    t.diagnostic(`${proxy.requests.length} requests, ${failures()} failed, ${synced.seconds.toFixed(1)} s`);
    assertDone(synced, { read: PRODUCTS, created: PRODUCTS, unchanged: 0 });
    assertPatient();
    for (const kind of KINDS) assert.ok(proxy.count(kind) > 0, `no request met ${kind}`);
    assert.ok(failures() > proxy.count('answered') / 4, 'too few requests failed to tell anything');

    const products = await assertEqualToUpstream();
    // That there was something to compare.
    const some = (has) => [...products.values()].filter(has).length;
    const share = {
        discounted: some((p) => p.list_price),
        'without a description': some((p) => p.description === null),
        'without a brand': some((p) => p.brand === null),
        'without stock': some((p) => p.stock === 0),
        'of unknown stock': some((p) => p.stock === null),
        'with a path of three': some((p) => p.category.length === 3),
        'without a category': some((p) => p.category.length === 0),
        'named in British English': some((p) => p.name.includes('(GB)')),
        'with a variant without a price': some((p) => p.variants.some(({ price }) => !price)),
        'with three images': some((p) => p.images.length === 3),
    };
    for (const [what, count] of Object.entries(share)) assert.ok(count > PRODUCTS / 50, `${what}: ${count}`);
});

test('one token serves a whole sync, whatever fails', () => {
    assert.deepEqual(proxy.tokens, [{ status: 200 }]);
});

test('a second sync writes nothing: the change log does not move', async () => {
    const [head, before] = [await haat.head(), await haat.exported()];
    assert.ok(head > 0);
    await haat.configure(commercetools(world));
    proxy.attend();
    assertDone(await haat.sync('shop', '--full'), { read: PRODUCTS, unchanged: PRODUCTS });
    assert.equal(proxy.requests.length, PRODUCTS / 500 + 1, 'pages of 500, and an empty one');
    const { run } = await haat.sync('shop');
    assert.equal(run.mode, 'incremental');
    assert.equal(run.counts.unchanged + run.counts.stale, run.counts.read);
    assert.equal(await haat.head(), head);
    assert.deepEqual(await haat.exported(), before, 'versions and times included');
});

test('a page that is throttled for long is not asked for before Retry-After says so, however often that is', async () => {
    // More often than a call is sent by itself.
    proxy.attend(only('429', 2, 5));
    assertDone(await haat.sync('shop', '--full'), { read: PRODUCTS, unchanged: PRODUCTS });
    assert.equal(proxy.count('429'), 5);
    assertPatient();
});

test('a token revoked in the middle of a sync costs one more token and no item', async () => {
    proxy.attend(only('revoke', 3));
    assertDone(await haat.sync('shop', '--full'), { read: PRODUCTS, unchanged: PRODUCTS });
    assert.deepEqual(proxy.tokens, [{ status: 200 }, { status: 200 }]);
    assert.equal(proxy.count('refused'), 1);
    assert.equal(
        proxy.requests.findIndex(({ ended }) => ended === 'refused'),
        2,
    );
});

/** Changes a product by the API, as an editor does. */
async function change({ id, version }, ...actions) {
    return world.api.ask('POST', `products/${id}`, { version, actions });
}

test('an incremental sync brings what was changed, page by page, and leaves alone what was deleted', async () => {
    const all = await world.api.all('products');
    const [changed, deleted] = [all.slice(100, 110), all.slice(1_000, 1_005)];
    for (const [n, product] of changed.entries()) {
        const { prices } = product.masterData.current.masterVariant;
        const { id: priceId } = prices.find(({ value, country }) => value.currencyCode === CURRENCY && !country);
        // The mock stores this as it comes, where the API would fill it in.
        const value = { type: 'centPrecision', currencyCode: CURRENCY, centAmount: 7_000 + n, fractionDigits: 2 };
        await change(
            product,
            { action: 'changeName', name: { de: `Neu ${n}`, en: `New ${n}` }, staged: false },
            { action: 'changePrice', priceId, price: { value }, staged: false },
        );
    }
    for (const { id, version } of deleted) await world.api.ask('DELETE', `products/${id}?version=${version}`);
    world.deleted = deleted.map(({ masterData }) => masterData.current.masterVariant.sku);

    // So small that ten changes are several pages.
    await haat.configure(commercetools(world, { page_size: 3 }));
    proxy.attend();
    const synced = await haat.sync('shop');
    await haat.configure(commercetools(world));
    assert.equal(synced.run.mode, 'incremental');
    assert.equal(synced.run.counts.updated, 10);
    assert.equal(synced.run.counts.failed + synced.run.counts.removed + synced.run.counts.created, 0);
    assert.ok(synced.run.counts.read < 30, `${synced.run.counts.read} read for ten changes`);
    assert.ok(synced.run.counts.pages >= 4);
    const [wanted, got] = await Promise.all([expected(), world.catalogue()]);
    for (const [sku, product] of wanted) assert.deepEqual(got.get(sku), product, sku);
    for (const sku of world.deleted) assert.ok(got.has(sku), `${sku} is gone`);
});

test('a full sync removes what was deleted and brings what only it can see: stock', async () => {
    const counted = (await world.api.all('inventory')).filter(({ supplyChannel }) => !supplyChannel);
    const skus = new Set(
        (await world.api.all('products')).slice(0, 3).map((p) => p.masterData.current.masterVariant.sku),
    );
    const moved = counted.filter(({ sku }) => skus.has(sku));
    assert.ok(moved.length > 0);
    for (const { id, version } of moved) {
        const actions = [{ action: 'changeQuantity', quantity: 77 }];
        await world.api.ask('POST', `inventory/${id}`, { version, actions });
    }
    await world.api.remember();
    proxy.attend();
    const synced = await haat.sync('shop', '--full');
    const left = PRODUCTS - 5;
    const counts = { read: left, updated: moved.length, unchanged: left - moved.length, vanished: 5, removed: 5 };
    assertDone(synced, counts);
    await assertEqualToUpstream();
});

/** The metrics of a server by their name and labels. */
async function metrics() {
    const lines = (await haat.ask('/metrics')).split('\n').filter((line) => line && !line.startsWith('#'));
    return new Map(
        lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    );
}

test('what a server says of its calls is what the proxy has seen', async (t) => {
    proxy.attend(everyKind(SEED + 2));
    await haat.ask('/v1/sources/shop/sync', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ mode: 'full' }),
    });
    const source = async () => JSON.parse(await haat.ask('/v1/sources/shop'));
    const before = (await source()).last_done.id;
    const status = await eventually(
        'the run has ended',
        async () => {
            const status = await source();
            return !['reading', 'removing'].includes(status.run.state) && status.run.id !== before && status;
        },
        180,
    );
    assertDone({ code: 0, run: status.run, log: '' }, { read: PRODUCTS - 5, unchanged: PRODUCTS - 5 });
    assertPatient();

    const said = await metrics();
    const calls = {};
    for (const [name, count] of said) {
        const outcome = /^haat_outbound_calls_total\{.*outcome="(\w+)"/.exec(name)?.[1];
        if (outcome && name.includes('upstream="shop"')) calls[outcome] = count;
    }
    const retries = said.get('haat_outbound_retries_total{upstream="shop"}') ?? 0;
    t.diagnostic(`${proxy.requests.length} requests; calls ${JSON.stringify(calls)}, retries ${retries}`);
    // Those that the breaker refused were never sent.
    const { answered = 0, breaker_open: unsent = 0, ...others } = calls;
    const failed = Object.values(others).reduce((sum, count) => sum + count, 0);
    assert.equal(answered + failed + retries, proxy.requests.length, 'attempts');
    assert.equal(failed + retries, failures(), 'failed attempts');
    assert.equal(answered, proxy.count('answered'));
    assert.equal(unsent, 0);
    const [breaker] = status.breakers;
    assert.equal(breaker.state, 'closed');
    assert.deepEqual(proxy.tokens, [{ status: 200 }]);
});

test('in all that time no request came without a token that the provider had given', () => {
    assert.equal(proxy.unauthenticated, 0);
});
