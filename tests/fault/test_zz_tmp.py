from tests.fault.test_damage import *
import tests.fault.test_damage as m
def nth(kind, n):
    def in_copy(copy):
        db = plyvel.DB(str(copy/'log'), compression=None, block_size=1024, bloom_filter_bits=10)
        try:
            recs=list(db.iterator(prefix=kind)); k,r=recs[n%len(recs)]; db.delete(k); return f"{n} of {len(recs)} {k!r} deleted"
        finally: db.close()
    return in_copy
def run(whole, tmp, damages, **kw):
    out={}
    for where, told in whole.examined(tmp, damages):
        try: k=judge(whole, told, **kw)
        except AssertionError as e: k='BAD'; print('BAD', where, str(e)[:300])
        out[k]=out.get(k,0)+1
    print(out)
def test_s(whole, tmp_path):
    run(whole,tmp_path,[nth(SEGMENT,n) for n in range(10)])
def test_p(whole, tmp_path):
    run(whole,tmp_path,[nth(b'P',n) for n in range(0,200,5)])
import pytest
@pytest.mark.parametrize('pat',[b'S\x01\x9b',b'B\x01\x9b',b'P',b'T\x00',b'K\x01\x9b'])
def test_flips(pat, whole, tmp_path):
    d=flip_beside(pat)
    def mk(n):
        ch=random.Random(f"{pat}{n}")
        def f(copy):
            fs=sorted((copy/'log').glob('*.ldb'),key=lambda f:(f.stat().st_size,f.name))
            file=fs[n%len(fs)]
            return file.name+d(file,ch)
        return f
    run(whole,tmp_path,[mk(n) for n in range(120)])
def test_log(whole,tmp_path):
    def mk(n):
        ch=random.Random(f"{n}")
        def f(copy):
            file=next((copy/'log').glob('*.log'))
            return ch.choice([flip_anywhere,cut_the_end,cut_the_middle,zero_a_page])(file,ch)
        return f
    run(whole,tmp_path,[mk(n) for n in range(150)],may_be_shorter=True)
def test_manifest(whole,tmp_path):
    def mk(n):
        ch=random.Random(f"{n}")
        def f(copy):
            file=next((copy/'log').glob('MANIFEST*'))
            return ch.choice([flip_anywhere,cut_the_middle])(file,ch)
        return f
    run(whole,tmp_path,[mk(n) for n in range(60)])
def test_manifest_cut(whole,tmp_path):
    def mk(n):
        def f(copy):
            file=next((copy/'log').glob('MANIFEST*'))
            with file.open('r+b') as s: s.truncate(n)
            return f'cut to {n}'
        return f
    size=next((whole.path/'log').glob('MANIFEST*')).stat().st_size
    run(whole,tmp_path,[mk(n) for n in range(0,size,7)])
