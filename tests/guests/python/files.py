"""What a stock Python component does to files: open and os, as anywhere."""

import os

import wit_world
from componentize_py_types import Err


def told(act):
    try:
        return act()
    except OSError as error:
        raise Err(f"{type(error).__name__}: {error.strerror}")


class WitWorld(wit_world.WitWorld):
    def write_file(self, path: str, text: str) -> str:
        def act():
            with open(path, "w") as file:
                file.write(text)
            with open(path, "a") as file:
                file.write("!")
            with open(path) as file:
                return file.read()

        return told(act)

    def read_file(self, path: str) -> str:
        def act():
            with open(path) as file:
                return file.read()

        return told(act)

    def list_names(self, path: str) -> list[str]:
        return told(lambda: sorted(os.listdir(path)))

    def total_size(self, path: str) -> int:
        def failed(error):
            raise error

        def act():
            walk = os.walk(path, onerror=failed)
            return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in walk for name in names)

        return told(act)

    def remove_file(self, path: str) -> None:
        told(lambda: os.remove(path))
