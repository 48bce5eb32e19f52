// Reads an AsyncAPI document with the parser of its makers and says what is wrong with it. Usage: asyncapi.cjs PARSER DOCUMENT PROTO...
const fs = require('node:fs');
const [parserPath, documentPath, ...protoPaths] = process.argv.slice(2);
const { Parser } = require(parserPath);

// Names of the messages that proto files have, with their package.
const published = new Set();
for (const path of protoPaths) {
  const text = fs.readFileSync(path, 'utf8');
  const [, name] = /^package\s+([\w.]+);/m.exec(text);
  for (const [, message] of text.matchAll(/^message\s+(\w+)/gm)) published.add(`${name}.${message}`);
}

async function main() {
  const { document, diagnostics } = await new Parser().parse(fs.readFileSync(documentPath, 'utf8'));
  const wrong = diagnostics.filter((one) => one.severity <= 1);
  const problems = wrong.map((one) => `line ${one.range.start.line + 1}: ${one.message}`);
  for (const message of document ? document.allMessages().all() : []) {
    const name = message.extensions().get('x-protobuf')?.value();
    if (!published.has(name)) problems.push(`no published message is called ${name}`);
  }
  if (document && document.allChannels().all().length === 0) problems.push('it has no channel');
  problems.forEach((text) => console.log(`${documentPath}: ${text}`));
  process.exitCode = document && problems.length === 0 ? 0 : 1;
}

main();
