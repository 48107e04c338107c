// What a stock JavaScript component does over HTTP: fetch, as in a browser.

// An error of an export is a text; anything else that is thrown ends the instance.
async function answer(url, options) {
  try {
    const response = await fetch(url, options);
    return { status: response.status, body: await response.text() };
  } catch (error) {
    throw String(error);
  }
}

export async function get(url) {
  return await answer(url);
}

export async function post(url, body) {
  return await answer(url, { method: "POST", body });
}

export async function getAll(urls) {
  const one = (url) => answer(url).then(({ body }) => body, (error) => error);
  return await Promise.all(urls.map(one));
}
