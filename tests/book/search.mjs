// Asks the search of the built book what people ask, and expects the right place among the first results.
//
//   node tests/book/search.mjs BOOK [QUESTION...]
//
//   BOOK      the folder of the built book (scripts/book.sh: target/book)
//   QUESTION  print what the search finds for it, and check nothing
//
// What is asked, and expected among the first three, or eight for a message: each heading of docs/fix/README.md and machine.md,
// each verdict of docs/fix/verdicts.md, the name of each runbook, each
// message of docs/fix/messages.md that is more than one word (the rest of it is names and numbers), and the lines of
// questions.tsv, which are worded as somebody types who has not read the book.
// The index, its options and the search itself (elasticlunr) are those that the book brings along, as in a browser.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const FIRST = 3;
// Of the messages there are hundreds, in words that many pages have: they are on the first screen of what is found.
const FIRST_MESSAGES = 8;
const HERE = dirname(fileURLToPath(import.meta.url));
const DOCS = join(HERE, "../../docs");
const read = (...path) => readFileSync(join(...path), "utf8");

/** Loads the book's search as a page does, and returns a function from words to addresses. */
function searchOf(book) {
    const named = (name) => {
        const file = readdirSync(book).find((file) => file.startsWith(name) && file.endsWith(".js"));
        if (!file) throw new Error(`${book} has no ${name}….js: was it built with search?`);
        return read(book, file);
    };
    const page = { search: {} };
    page.window = page;
    vm.createContext(page);
    vm.runInContext(`${named("elasticlunr")}\n;window.elasticlunr = window.elasticlunr || elasticlunr;`, page);
    vm.runInContext(named("searchindex"), page);
    const { index, doc_urls: urls, search_options: options } = page.window.search;
    const loaded = page.window.elasticlunr.Index.load(index);
    const { stopWordFilter } = page.window.elasticlunr;
    if (urls.some((url) => url.startsWith("CHANGELOG.html"))) {
        // book.toml leaves it out, which mdBook knows since pull request 2533, of 2025.
        console.log("this mdBook cannot leave the changelog out of its search: nothing was asked");
        process.exit(0);
    }
    return {
        ask: (words) => loaded.search(words, options).map((result) => urls[result.ref]),
        /** Whether the index keeps at least two of these words. */
        isEnough: (words) => words.toLowerCase().match(/[a-z0-9]{2,}/g).filter(stopWordFilter).length > 1,
    };
}

/** The anchor of a heading, as mdBook makes it. */
function anchorOf(title) {
    return [...title.toLowerCase()]
        .map((letter) => (letter === " " ? "-" : letter))
        .filter((letter) => /[-_\p{Letter}\p{Number}]/u.test(letter))
        .join("");
}

/** The address in the book of a document below docs/, with or without an anchor. */
function addressOf(target) {
    const [path, anchor] = target.split("#");
    const page = `docs/${path.replace(/README\.md$/, "index.md").replace(/\.md$/, ".html")}`;
    return anchor ? `${page}#${anchor}` : page;
}

const isAt = (address, target) => (target.includes("#") ? address === target : address.split("#")[0] === target);

/** The texts in the second column of the tables whose head begins with `head`, without what stands for names and numbers. */
function messages(text, head, column) {
    const found = [];
    for (const table of text.split(`\n${head}`).slice(1)) {
        for (const row of table.split("\n").slice(2)) {
            if (!row.startsWith("| ")) break;
            const cell = row.split(/(?<!\\)\|/)[column].trim();
            for (const [, message] of cell.matchAll(/`([^`]*)`/g)) {
                const words = message.replace(/\{[^}]*\}|…|\\/g, " ").trim();
                // "{fault}" and "{}: {}" have no word of their own.
                if (/\p{Letter}{3}/u.test(words)) found.push(words);
            }
        }
    }
    return found;
}

function questions(isEnough) {
    const asked = [];
    const askIfEnough = (words, ...targets) => isEnough(words) && ask(words, ...targets);
    const ask = (words, ...targets) => asked.push({ words, targets: targets.map(addressOf), first: FIRST });
    for (const page of ["fix/README.md", "fix/machine.md"]) {
        for (const [, title] of read(DOCS, page).matchAll(/^## (.*)$/gm)) ask(title, `${page}#${anchorOf(title)}`);
    }
    for (const row of read(DOCS, "fix/verdicts.md").matchAll(/^\| (.*?) \| `(.*?)` \| (.*) \|$/gm)) {
        const runbooks = [...row[3].matchAll(/\(\.\.\/(runbooks\/.*?\.md)\)/g)].map((link) => link[1]);
        for (const words of row[1].split(";")) {
            askIfEnough(words.replaceAll("…", " ").trim(), "fix/verdicts.md", ...runbooks);
        }
        ask(row[2], "fix/verdicts.md", `fix/doctor.md#${row[2]}`, "rules.md", ...runbooks);
    }
    for (const file of readdirSync(join(DOCS, "runbooks")).filter((file) => file.startsWith("Pi"))) {
        ask(file.replace(/\.md$/, ""), `runbooks/${file}`);
    }
    const catalog = read(DOCS, "fix/messages.md");
    for (const [head, column] of [["| level | line |", 2], ["| error |", 1], ["| line |", 1]]) {
        for (const words of messages(catalog, head, column)) {
            if (askIfEnough(words, "fix/messages.md", "fix/README.md")) asked.at(-1).first = FIRST_MESSAGES;
        }
    }
    for (const line of read(HERE, "questions.tsv").split("\n")) {
        if (line === "" || line.startsWith("#")) continue;
        const [words, ...targets] = line.split("\t");
        ask(words, ...targets);
    }
    return asked;
}

const [book, ...typed] = process.argv.slice(2);
if (!book) {
    console.error("usage: node tests/book/search.mjs BOOK [QUESTION...]");
    process.exit(2);
}
const { ask: search, isEnough } = searchOf(book);
for (const words of typed) console.log(`${words}\n${search(words).slice(0, 8).map((address) => `    ${address}`).join("\n")}`);
if (typed.length > 0) process.exit(0);
let wrong = 0;
const asked = questions(isEnough);
for (const { words, targets, first } of asked) {
    const found = search(words);
    const place = found.findIndex((address) => targets.some((target) => isAt(address, target)));
    if (place >= 0 && place < first) continue;
    wrong += 1;
    console.log(`"${words}": expected ${targets.join(" or ")} among the first ${first}, found it ${place < 0 ? "nowhere" : `at ${place + 1}`}, after`);
    for (const address of found.slice(0, first)) console.log(`    ${address}`);
}
if (wrong > 0) console.log("Say it in the words that people type, in a short section, or in its heading.");
console.log(`${asked.length - wrong} of ${asked.length} questions lead to the right place`);
process.exit(wrong > 0 || asked.length < 250 ? 1 : 0);
