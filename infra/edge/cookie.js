// Opens rendered pages to those whose cookie names the project: a CloudFront Function (runtime 2.0)
// on viewer requests for /p/*. The same rules as chalicelib/api/cookie.py, and the same test vectors.
//
// The key-value store holds `key:<id>` (the derived keys, in hex; two while they are exchanged),
// `epoch` (epoch seconds; cookies issued at or before it are refused), and `open` (`read` where pages
// need no cookie).
import cf from 'cloudfront';
import crypto from 'crypto';

const NAME = '__Host-weighbridge';
const LIFETIME = 3600;
const SKEW = 60;
const MAX_VALUE = 3800;
const MISSING = '<!doctype html><html lang=en><title>Not found</title><h1>Not found</h1>' +
    '<p>There is no such page. <a href=/>Home</a></p>';
const PROJECT = /^[a-z0-9][a-z0-9._-]{0,95}$/;

// A path, percent-decoded once, without `.`, `..` and double slashes; null if it is refused.
function normal(path) {
    if (path[0] !== '/' || /%(?![0-9A-Fa-f]{2})|%2[fF]/.test(path)) return null;
    const text = path.replace(/%([0-9A-Fa-f]{2})/g, function (_, hex) {
        return String.fromCharCode(parseInt(hex, 16));
    });
    if (!/^[A-Za-z0-9._~\/-]*$/.test(text) || text.indexOf('\n') >= 0) return null;
    const parts = text.split('/').slice(1);
    const kept = [];
    for (let i = 0; i < parts.length; i++) {
        if (parts[i] === '..') {
            if (!kept.length) return null;
            kept.pop();
        } else if (parts[i] !== '' && parts[i] !== '.') {
            kept.push(parts[i]);
        }
    }
    const last = parts[parts.length - 1];
    const folder = last === '' || last === '.' || last === '..';
    return '/' + kept.join('/') + (folder && kept.length ? '/' : '');
}

function projectOf(clean) {
    const parts = clean ? clean.split('/') : [];
    return parts.length > 2 && parts[1] === 'p' && PROJECT.test(parts[2]) ? parts[2] : null;
}

function same(a, b) {
    if (a.length !== b.length) return false;
    let difference = 0;
    for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
    return difference === 0;
}

// The projects that a cookie opens; null if it is not ours, changed, expired or revoked.
// `secret(id)` answers a key or null, `epoch()` a number; both may have to ask the store.
async function verify(value, now, secret, epoch) {
    if (value.length > MAX_VALUE || !/^[ -~]*$/.test(value)) return null;
    const end = value.lastIndexOf('|');
    const fields = value.slice(0, Math.max(end, 0)).split('|');
    if (fields.length !== 5 || fields[0] !== 'v1' || !/^[a-z0-9]{1,16}$/.test(fields[1])) return null;
    const key = await secret(fields[1]);
    if (!key) return null;
    const signed = crypto.createHmac('sha256', key).update(value.slice(0, end)).digest('hex');
    if (!same(signed, value.slice(end + 1)) || !/^[1-9][0-9]{0,11}$/.test(fields[2])) return null;
    const expires = parseInt(fields[2], 10);
    const issued = expires - LIFETIME;
    if (now >= expires || issued > now + SKEW || issued <= (await epoch())) return null;
    return fields[4].split('/').filter(function (name) { return name; });
}

// What to do with a request for a page: ['serve', key], ['redirect', address] or ['missing', ''].
function decide(path, projects) {
    let clean = normal(path);
    const project = projectOf(clean);
    if (project === null) return ['missing', ''];
    if (projects === null) return ['redirect', '/sign-in?next=' + encodeURIComponent(clean)];
    if (projects.indexOf('*') < 0 && projects.indexOf(project) < 0) return ['missing', ''];
    const folder = clean[clean.length - 1] === '/';
    if (!folder && !/\.(html|json)$/.test(clean)) clean += '/';
    if (clean !== path) return ['redirect', clean];
    return ['serve', clean.slice(1) + (folder ? 'index.html' : '')];
}

async function handler(event) {
    const request = event.request;
    const store = cf.kvs();
    const read = async function (name) {
        // A key that is not there is an error to the store, and no access to us.
        try { return await store.get(name); } catch (absent) { return null; }
    };
    const secret = function (id) { return read('key:' + id); };
    const epoch = async function () {
        const text = await read('epoch');
        return text !== null && /^[0-9]{1,12}$/.test(text) ? parseInt(text, 10) : Infinity;
    };
    const cookie = request.cookies[NAME];
    const now = Date.now() / 1000;
    let projects = cookie ? await verify(cookie.value, now, secret, epoch) : null;
    if (projects === null && (await read('open')) === 'read') projects = ['*'];
    const decision = decide(request.uri, projects);
    if (decision[0] === 'serve') {
        request.uri = '/' + decision[1];
        return request;
    }
    const headers = { 'cache-control': { value: 'no-store' } };
    if (decision[0] === 'missing') {
        headers['content-type'] = { value: 'text/html; charset=utf-8' };
        return { statusCode: 404, statusDescription: 'Not Found', headers: headers, body: MISSING };
    }
    headers.location = { value: decision[1] };
    return { statusCode: 303, statusDescription: 'See Other', headers: headers };
}
