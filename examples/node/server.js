// A server of HTTP for `inuse run`. With -l it takes the socket that it is given (descriptor 3); without, it binds
// HOST and PORT, and `inuse run` keeps that socket from one generation to the next.
//   inuse run -l 8080 -- node server.js
//   inuse run -- node server.js
'use strict';
const http = require('http');

const body = `generation=${process.env.INUSE_GENERATION}\n`;
let ending = false;

const server = http.createServer((request, response) => {
  const answer = () => {
    if (ending) response.setHeader('Connection', 'close');
    response.end(body);
  };
  request.url === '/slow' ? setTimeout(answer, 2000) : answer();
});

const given = process.env.LISTEN_PID === String(process.pid);
server.listen(given ? { fd: 3 } : { host: process.env.HOST, port: process.env.PORT || 8080 });

// Told to end: nothing new is accepted, and what is under way is answered.
process.on('SIGTERM', () => {
  ending = true;
  server.close(() => process.exit(0));
});
