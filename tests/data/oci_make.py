#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes container images of which each byte is known: oci_make.py RECIPE DIR [FILE...]. The recipes are the functions below whose names do not begin with "_"."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
INDEX = 'application/vnd.oci.image.index.v1+json'
CONFIG = 'application/vnd.oci.image.config.v1+json'
LAYER = 'application/vnd.oci.image.layer.v1.tar'
BUSYBOX = '/bin/busybox'


def _digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


class Layer:
    """A tar in memory. Every entry has a time, owner 0:0 and a usual mode unless told otherwise."""

    def __init__(self, format=tarfile.PAX_FORMAT):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode='w', format=format)

    def put(self, name, data=None, type=None, **more):
        info = tarfile.TarInfo(name)
        info.type = type or (tarfile.REGTYPE if data is not None else tarfile.DIRTYPE)
        info.mode = 0o644 if info.isreg() else 0o755
        info.mtime = 1700000000
        info.size = len(data or b'')
        for key, value in more.items():
            setattr(info, key, value)
        self.tar.addfile(info, io.BytesIO(data or b''))
        return self

    def link(self, name, target, type=tarfile.SYMTYPE, **more):
        return self.put(name, type=type, linkname=target, **more)

    def end(self):
        self.tar.close()
        return self.out.getvalue()


class Layout:
    """An OCI layout on its way. What is wrong in a bad one is changed in the fields before save()."""

    def __init__(self, top):
        self.top = top
        self.blobs = {}
        self.layers, self.diffs, self.manifests = [], [], []
        self.config = {'architecture': 'amd64', 'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': self.diffs}}

    def blob(self, data, type, **more):
        digest = _digest(data)
        self.blobs[digest] = data
        return {'mediaType': type, 'digest': digest, 'size': len(data), **more}

    def layer(self, tar, pack='gzip', type=None):
        data = tar
        if pack == 'gzip':
            data = gzip.compress(tar, 6, mtime=0)
        elif pack == 'zstd':
            data = subprocess.run(['zstd', '-q', '-c'], input=tar, stdout=subprocess.PIPE, check=True).stdout
        self.layers.append(self.blob(data, type or LAYER + {'gzip': '+gzip', 'zstd': '+zstd', '': ''}[pack]))
        self.diffs.append(_digest(tar))
        return self

    def manifest(self):
        return {'schemaVersion': 2, 'mediaType': MANIFEST, 'config': self.blob(json.dumps(self.config).encode(), CONFIG), 'layers': self.layers}

    def image(self, name='latest', **more):
        """Ends one image and adds it to the index."""
        notes = {'org.opencontainers.image.ref.name': name} if name else {}
        self.manifests.append(self.blob(json.dumps(self.manifest()).encode(), MANIFEST, annotations=notes, **more))
        return self

    def save(self):
        os.makedirs(self.top + '/blobs/sha256', exist_ok=True)
        for digest, data in self.blobs.items():
            with open(self.top + '/blobs/sha256/' + digest[7:], 'wb') as file:
                file.write(data)
        for name, text in (('oci-layout', {'imageLayoutVersion': '1.0.0'}), ('index.json', {'schemaVersion': 2, 'manifests': self.manifests})):
            with open(self.top + '/' + name, 'w') as file:
                json.dump(text, file)


def _read(path):
    with open(path, 'rb') as file:
        return file.read()


def _busybox(layer=None, names='sh echo cat ls id env stat pwd sleep test readlink'):
    layer = layer or Layer()
    layer.put('bin').put('bin/busybox', _read(BUSYBOX), mode=0o755)
    for name in names.split():
        layer.link('bin/' + name, 'busybox')
    return layer


def busybox(top):
    """One layer each of gzip, zstd and none; all that a configuration can say."""
    image = Layout(top)
    base = _busybox().put('etc').put('etc/passwd', b'root:x:0:0:root:/root:/bin/sh\napp:x:1234:77:App:/srv:/bin/sh\n')
    image.layer(base.put('etc/group', b'root:x:0:\nwheel:x:88:app\n').end())
    image.layer(Layer().put('srv', uid=1234, gid=77).put('srv/hello', b'hello from a layer\n').put('bin/greet', b'#!/bin/sh\necho "greet $0 $*"\n', mode=0o755)
                .put('bin/by-env', b'#!/usr/bin/env sh\necho "by env $*"\n', mode=0o755).end(), 'zstd')
    image.layer(Layer().put('etc/hosts', b'').end(), '')
    image.config['config'] = {'Entrypoint': ['/bin/echo', 'fixed'], 'Cmd': ['words'], 'Env': ['PATH=/bin', 'COLOUR=green'], 'WorkingDir': '/srv', 'User': 'app:wheel',
                              'ExposedPorts': {'80/tcp': {}, '53/udp': {}}, 'Volumes': {'/data': {}}, 'StopSignal': 'SIGQUIT', 'Labels': {'maker': 'test'},
                              'Healthcheck': {'Test': ['CMD', 'true'], 'Interval': 1000000000}}
    image.config['history'] = [{'created_by': 'COPY busybox /', 'created': '2023-11-14T22:13:20Z'}, {'created_by': 'COPY srv', 'comment': 'second'}, {'created_by': 'ENV X', 'empty_layer': True}]
    image.image('box:1.0')
    image.config['config'] = {'Cmd': ['greet', 'you'], 'Env': ['PATH=/bin']}
    image.image('box:script')
    image.save()


def merged(top):
    """What layers do to each other."""
    image = Layout(top)
    image.layer(_busybox().put('.', mode=0o711, uid=5).put('a').put('a/gone', b'1').put('a/stays', b'stays\n').put('b').put('b/old', b'1').put('b/sub').put('b/sub/old', b'1')
                .put('c').put('c/x', b'1').put('file-then-dir', b'1').put('dir-then-file').put('dir-then-file/x', b'1').put('usr').put('usr/lib').link('lib', 'usr/lib')
                .put('one', b'shared\n', mode=0o4755, uid=3, gid=4).link('two', 'one', tarfile.LNKTYPE).put('dev').put('tmp', mode=0o1777)
                .put('dev/sda', type=tarfile.BLKTYPE, devmajor=259, devminor=70000, mode=0o660).put('dev/null', type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
                .put('dev/fifo', type=tarfile.FIFOTYPE, mode=0o600)
                .put('ping', b'ping\n', mode=0o755, pax_headers={'SCHILY.xattr.security.capability': '\x01\x00\x00\x02\x00\x20\x00\x00' + '\x00' * 12, 'SCHILY.xattr.user.note': 'n'})
                .put('new\nline', b'1').put('bad\udcff', b'1', pax_headers={}).put('\u00fc' * 60 + '/' + '\u00e9' * 60, b'long\n').end())
    image.layer(Layer().put('a/.wh.gone', b'').put('b/.wh..wh..opq', b'').put('b/new', b'new\n').put('b/sub').put('b/sub/new', b'new\n').put('.wh.c', b'').put('c/y', b'y\n')
                .put('file-then-dir').put('file-then-dir/x', b'x\n').put('dir-then-file', b'f\n').put('lib/through', b'through\n').put('.wh..wh.plnk', b'')
                .link('three', 'two', tarfile.LNKTYPE).put('.lightvm/manifest.json', b'{}').link('abs', '/a/stays').link('out', '../../../../a/stays').end())
    image.config['config'] = {'Cmd': ['/bin/sh']}
    image.image('merged')
    image.save()


def _one(top, tar, pack='gzip', change=None, name='bad', **config):
    image = Layout(top)
    image.layer(tar, pack)
    image.config['config'] = config or {'Cmd': ['/bin/sh']}
    if change:
        change(image)
    image.image(name)
    image.save()
    return image


def _plain(*names):
    layer = Layer()
    for name in names:
        layer.put(name, b'x')
    return layer


def _flip(top, digest):
    """Changes one byte of a blob."""
    path = top + '/blobs/sha256/' + digest[7:]
    data = bytearray(_read(path))
    data[len(data) // 2] ^= 1
    with open(path, 'wb') as file:
        file.write(data)


def _sized(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def bad(top):
    """Each directory of top is one that must not become an image."""
    at = lambda name: os.path.join(top, name)
    _one(at('traversal'), _plain('../../../../../../../../tmp/lightvm-was-here').end())
    _one(at('traversal-middle'), _plain('a/../../b').end())
    _one(at('hardlink-out'), Layer().link('x', '../../../../../../../../etc/passwd', tarfile.LNKTYPE).end())
    _one(at('hardlink-none'), Layer().link('x', '/etc/passwd', tarfile.LNKTYPE).end())
    _one(at('hardlink-dir'), Layer().put('d').link('x', 'd', tarfile.LNKTYPE).end())
    _one(at('cycle'), Layer().link('a', 'b').link('b', 'a').put('a/x', b'x').end())
    _one(at('below-a-file'), _plain('a', 'a/b').end())
    _one(at('long-name'), _plain('n' * 300).end())
    _one(at('long-path'), _plain('/'.join(['d' * 200] * 25)).end())
    _one(at('root-name'), Layer().put('f', b'x').link('./', 'f', tarfile.LNKTYPE).end())
    _one(at('ours'), Layer().link('x', '.').put('x/.lightvm/manifest.json', b'{}').end())
    _one(at('ours-file'), Layer().link('x', '.').put('x/.lightvm', b'').end())
    _one(at('depth'), _plain('/'.join(['a'] * 200)).end())
    _one(at('xattr'), Layer().put('a', b'x', pax_headers={'SCHILY.xattr.user.big': 'v' * 9000}).end())
    _one(at('whiteout'), Layer().put('.wh...', b'').end())
    _one(at('bomb'), _sized('bomb', 3 << 30) + bytes(1 << 20))
    _one(at('entries'), _sized('same', 0) * ((1 << 20) + 1) + bytes(1024), 'zstd')
    _one(at('no-tar'), b'this is no archive' * 100)
    _one(at('cut'), _busybox().end()[:300000])
    _one(at('no-user'), _busybox().end(), User='nobody-here')
    _one(at('arm'), _busybox().end(), change=lambda image: image.config.update(architecture='arm64'))
    _one(at('windows'), _busybox().end(), change=lambda image: image.config.update(os='windows'))
    _one(at('env'), _busybox().end(), Env=['no equals sign'])
    _one(at('control'), _busybox().end(), WorkingDir='/a\033[2Jb')
    _one(at('layer-type'), _busybox().end(), change=lambda image: image.layers[0].update(mediaType='application/vnd.oci.image.layer.v1.tar+brotli'))
    _one(at('size'), _busybox().end(), change=lambda image: image.layers[0].update(size=image.layers[0]['size'] + 1))
    _one(at('diff-id'), _busybox().end(), change=lambda image: image.diffs.__setitem__(0, 'sha256:' + '0' * 64))
    _one(at('digest-kind'), _busybox().end(), change=lambda image: image.layers[0].update(digest='sha512:' + '0' * 128))
    _one(at('digest-path'), _busybox().end(), change=lambda image: image.layers[0].update(digest='sha256:../../../../../etc/passwd'))
    _one(at('layers-count'), _busybox().end(), change=lambda image: image.diffs.append('sha256:' + '0' * 64))
    image = _one(at('digest'), _busybox().end())
    _flip(at('digest'), image.layers[0]['digest'])
    image = _one(at('gzip'), _busybox().end())
    path = at('gzip') + '/blobs/sha256/' + image.layers[0]['digest'][7:]
    os.truncate(path, 100000)
    image = _one(at('missing'), _busybox().end())
    os.unlink(at('missing') + '/blobs/sha256/' + image.layers[0]['digest'][7:])
    image = _one(at('manifest'), _busybox().end())
    _flip(at('manifest'), image.manifests[0]['digest'])
    image = Layout(at('manifest-type'))
    image.layer(_busybox().end()).image('x')
    image.manifests[0]['mediaType'] = 'application/vnd.something.else'
    image.save()
    image = Layout(at('artifact'))
    image.layer(_busybox().end())
    made = image.manifest()
    made['config']['mediaType'] = 'application/vnd.cncf.helm.config.v1+json'
    image.manifests.append(image.blob(json.dumps(made).encode(), MANIFEST))
    image.save()
    image = Layout(at('platform'))
    image.layer(_busybox().end()).image('x', platform={'os': 'linux', 'architecture': 's390x'})
    image.save()
    image = Layout(at('deep'))
    image.layer(_busybox().end()).image('x')
    for _ in range(9):
        image.manifests = [image.blob(json.dumps({'schemaVersion': 2, 'manifests': image.manifests}).encode(), INDEX)]
    image.save()
    image = Layout(at('empty'))
    image.save()
    image = _one(at('no-json'), _busybox().end())
    with open(at('no-json') + '/index.json', 'w') as file:
        file.write('{"manifests": [')


def through(top):
    """Links that lead out of the root, and files written through them: all of it stays in the image."""
    image = Layout(top)
    image.layer(_busybox().link('etc', '/tmp/outside').link('up', '../../../../../../tmp/outside').end())
    image.layer(Layer().put('etc/evil', b'in the image\n').put('up/evil2', b'in the image\n').end())
    image.config['config'] = {'Cmd': ['cat', '/tmp/outside/evil', '/tmp/outside/evil2'], 'Env': ['PATH=/bin']}
    image.image('through')
    image.save()


def platforms(top):
    """An index over two machines, within the layout's index."""
    image = Layout(top)
    image.layer(_busybox().end())
    image.config['config'] = {'Cmd': ['/bin/echo', 'for amd64']}
    image.image(None, platform={'os': 'linux', 'architecture': 'amd64'})
    other = dict(image.manifests[0], platform={'os': 'linux', 'architecture': 'arm64'}, digest='sha256:' + '1' * 64)
    image.manifests = [image.blob(json.dumps({'schemaVersion': 2, 'manifests': [other] + image.manifests}).encode(), INDEX,
                                  annotations={'org.opencontainers.image.ref.name': 'many'})]
    image.save()
    print(image.manifests[0]['digest'])


if __name__ == '__main__':
    globals()[sys.argv[1]](*sys.argv[2:])
