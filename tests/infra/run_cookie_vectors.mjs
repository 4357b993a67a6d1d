// Runs the vectors through infra/edge/cookie.js as the CDN would: its handler, with a fake store.
// Prints one line of JSON per case: what the function answered.
import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';

const [, , source, vectors] = process.argv;
const code = readFileSync(source, 'utf8').replace(/^import .*$/gm, '');
const given = JSON.parse(readFileSync(vectors, 'utf8'));
const clock = { now: () => given.now * 1000 };

function edge(store) {
    const cf = { kvs: () => ({ get: async (name) => {
        if (!Object.hasOwn(store, name)) throw new Error('KeyNotFound');
        return store[name];
    } }) };
    return new Function('cf', 'crypto', 'Date', `${code}\nreturn handler;`)(cf, crypto, clock);
}

function keys(epoch) {
    const store = { epoch: String(epoch) };
    for (const [id, key] of Object.entries(given.keys)) store[`key:${id}`] = key;
    return store;
}

async function ask(store, uri, cookie) {
    const cookies = cookie === null ? {} : { '__Host-weighbridge': { value: cookie } };
    const answer = await edge(store)({ request: { method: 'GET', uri, cookies } });
    if (answer.uri !== undefined) return ['serve', answer.uri.slice(1)];
    if (answer.statusCode === 404) return ['missing', ''];
    return ['redirect', answer.headers.location.value];
}

const results = { paths: [], cookies: [], broken: null, open: [] };
for (const { path, cookie } of given.paths) {
    results.paths.push(await ask(keys(given.epoch), path, cookie || null));
}
for (const { cookie, epoch } of given.cookies) {
    const opened = [];
    for (const project of ['audio', 'text', 'text0', 'vision', 'project-1']) {
        const [kind] = await ask(keys(epoch), `/p/${project}/`, cookie);
        opened.push([project, kind]);
    }
    results.cookies.push(opened);
}
const bare = keys(0);
delete bare.epoch;
results.broken = await ask(bare, '/p/vision/', given.paths[0].cookie);
for (const open of ['read', 'none', 'yes']) {
    results.open.push(await ask({ ...keys(given.epoch), open }, '/p/vision/digits/', null));
}
console.log(JSON.stringify(results));
