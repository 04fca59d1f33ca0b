// The same API as the kind `rest` reads it, described by settings alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { everyKind, KINDS } from './upstream/faults.js';
import { Expectation, read } from './upstream/expected.js';
import { SEED } from './upstream/random.js';
import { common, CURRENCY, PROJECT, SCOPES, World } from './world.js';

const PRODUCTS = 200;

/**
 * What settings can say: pointers, no choice between places. So one locale, the price before any discount, the name of each
 * category instead of the path of one, and attributes of the product by pointer, not those in the list of names and values.
 */
function rest(world) {
    const { url } = world.proxy;
    const expand = 'categories[*].ancestors[*]';
    const { id, secret } = world.client;
    const text = JSON.stringify;
    return `${common('shop', 'rest', { base_url: `${url}/${PROJECT}/` })}
[sources.auth]
type = "oauth2"
token_url = ${text(`${url}/oauth/token`)}
client_id = ${text(id)}
client_secret = ${text(secret)}
scopes = ${text(SCOPES)}

[sources.list]
path = "product-projections"
query = { expand = "${expand}", priceCurrency = "${CURRENCY}", sort = "id asc" }
items = "/results"
total = "/total"
pagination = { type = "offset", parameter = "offset", size_parameter = "limit", size = 15 }

[sources.item]
path = "product-projections/{key}"
query = { expand = "${expand}", priceCurrency = "${CURRENCY}" }

[sources.fields]
key = "/id"
sku = "/masterVariant/sku"
order = "/version"
updated_at = "/lastModifiedAt"
created_at = "/createdAt"
name = "/name/en"
description = { pointer = "/description/en", default = "Not described" }
brand = { constant = "The market" }
category = { pointer = "/categories", each = "/obj/name/en" }
tags = { pointer = "/slug/en", split = "-" }
price = { pointer = "/masterVariant/price/value/centAmount", unit = "minor", currency = { pointer = "/masterVariant/price/value/currencyCode" } }
stock = "/masterVariant/availability/availableQuantity"
images = { pointer = "/masterVariant/images", each = "/url" }
status = { pointer = "/published", map = { true = "active", false = "draft" } }
attributes = { key = "/key", staged = { pointer = "/hasStagedChanges", type = "boolean" }, version = { pointer = "/version", type = "integer" } }

[sources.fields.variants]
pointer = "/variants"
fields = { sku = "/sku", price = { pointer = "/price/value/centAmount", unit = "minor", currency = "${CURRENCY}" }, stock = "/availability/availableQuantity" }
`;
}

/** What that makes of a product, from what the mock itself says. */
class Declared extends Expectation {
    product(projection) {
        const { masterVariant: master, variants } = projection;
        const whole = super.product(projection);
        const category = projection.categories.map(({ id }) => this.upstream.categories.get(id).name.en);
        return {
            ...whole,
            description: whole.description ?? 'Not described',
            brand: 'The market',
            category,
            tags: projection.slug.en.split('-'),
            price: this.before(master),
            list_price: null,
            attributes: { key: projection.key, staged: projection.hasStagedChanges, version: projection.version },
            variants: whole.variants.map((v, i) => ({ ...v, price: this.before(variants[i]), attributes: {} })),
        };
    }

    before(variant) {
        const { price, list_price } = this.prices(variant);
        return list_price ?? price;
    }
}

let world, haat, proxy;
before(async () => {
    world = await World.start(PRODUCTS, rest);
    ({ haat, proxy } = world);
});
after(() => world?.stop());

/** The products that can be; and the ids of those that cannot, for less than nothing is in stock of a variant. */
async function expected() {
    const upstream = await read(world.api);
    const declared = new Declared(upstream, { locales: ['en'], currency: CURRENCY });
    const lacks = ({ sku }) => upstream.stock.get(sku) < 0;
    const refused = upstream.products.filter((p) => lacks(p.masterVariant) || p.variants.some(lacks));
    const products = declared.products();
    for (const { masterVariant } of refused) products.delete(masterVariant.sku);
    return { products, refused: new Set(refused.map(({ id }) => id)) };
}

test('settings alone read the API by offset through faults; what fits no product is named and holds up nothing', async () => {
    const { products, refused } = await expected();
    assert.ok(refused.size > 10 && products.size > 100);
    proxy.attend(everyKind(SEED));
    const { code, run, log } = await haat.sync('shop');
    assert.equal(run.state, 'done', `${run.message}\n${log}`);
    assert.equal(run.total, PRODUCTS);
    assert.equal(run.counts.read, PRODUCTS);
    assert.equal(run.counts.failed, refused.size, JSON.stringify(run.errors, undefined, 1));
    assert.equal(run.counts.created, products.size);
    assert.equal(code, 65, 'the exit code says that some were refused');
    assert.deepEqual(new Set(run.errors.map(({ key }) => key)), refused);
    for (const { pointer } of run.errors) assert.match(pointer, /stock|availableQuantity/);
    for (const kind of KINDS) assert.ok(proxy.count(kind) > 0, `no request met ${kind}`);
    assert.deepEqual(proxy.tokens, [{ status: 200 }]);

    const got = await world.catalogue();
    assert.deepEqual([...got.keys()].sort(), [...products.keys()].sort());
    for (const [sku, product] of products) assert.deepEqual(got.get(sku), product, sku);
});

test('a second sync writes nothing', async () => {
    const [head, before] = [await haat.head(), await haat.exported()];
    proxy.attend();
    const { run } = await haat.sync('shop');
    assert.equal(run.mode, 'full', 'a predicate over a time is nothing that settings can say');
    assert.equal(run.counts.created + run.counts.updated + run.counts.removed, 0);
    assert.equal(await haat.head(), head);
    assert.deepEqual(await haat.exported(), before);
});

test('what the list has no more is asked for by its id before it goes', async () => {
    const { products } = await expected();
    const all = await world.api.all('products');
    const known = all.filter(({ masterData }) => products.has(masterData.current.masterVariant.sku));
    const deleted = known.slice(0, 5);
    for (const { id, version } of deleted) await world.api.ask('DELETE', `products/${id}?version=${version}`);
    proxy.attend();
    const { run } = await haat.sync('shop');
    assert.equal(run.counts.removed, 5, run.message);
    const asked = proxy.requests.map(({ url }) => url.pathname.split('/')[3]).filter(Boolean);
    assert.deepEqual(asked.sort(), deleted.map(({ id }) => id).sort());
    const got = await world.catalogue();
    assert.deepEqual([...got.keys()].sort(), [...(await expected()).products.keys()].sort());
    assert.equal(proxy.unauthenticated, 0);
});
