"""What a Python component does to reach a server: the standard interface, and sockets, which it has not got."""

import encodings.idna  # At run time there is no library to load it from.
import urllib.request

import wit_world
from componentize_py_types import Err
from wit_world.imports import outgoing_handler, streams
from wit_world.imports.types import Fields, OutgoingRequest, Scheme_Http


class WitWorld(wit_world.WitWorld):
    def fetch(self, host: str, path: str) -> tuple[int, str]:
        request = OutgoingRequest(Fields())
        request.set_scheme(Scheme_Http())
        request.set_authority(host)
        request.set_path_with_query(path)
        try:
            future = outgoing_handler.handle(request, None)
            future.subscribe().block()
            response = future.get().value.value
        except Err as error:
            raise Err(type(error.value).__name__)
        if not hasattr(response, "status"):
            raise Err(type(response).__name__)
        body = bytearray()
        stream = response.consume().stream()
        while True:
            try:
                body += stream.blocking_read(65536)
            except Err as error:
                if isinstance(error.value, streams.StreamError_Closed):
                    return response.status(), body.decode()
                raise Err("the body broke off")

    def open_socket(self, url: str) -> str:
        try:
            return urllib.request.urlopen(url).read().decode()
        except OSError as error:
            raise Err(f"{type(error).__name__}: {error}")
