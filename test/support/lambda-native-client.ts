import http from 'node:http';
import { registerHooks } from 'node:module';

// Loaded before Lambda's runtime client, in its process: takes the place of the part of it that is compiled when it is
// installed, which takes CMake and minutes. That part sends what the function answered, or failed with, to the Runtime API.

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === './rapid-client.node' ? { url: import.meta.url, shortCircuit: true } : next(specifier, context),
});

const post = (path: string, body: string): void => {
  const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/${path}`;
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  http.request(url, { method: 'POST', headers }, (response) => response.resume()).end(body);
};

export const done = (requestId: string, answer: string): void => post(`${requestId}/response`, answer);

export const error = (requestId: string, failure: string): void => post(`${requestId}/error`, failure);
