"""Invented patients, staff and hospitals with Latin, kanji and kana names; none of them exists."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

FAMILY = (
    ("Yamada", "山田", "やまだ"), ("Sato", "佐藤", "さとう"), ("Suzuki", "鈴木", "すずき"),
    ("Takahashi", "高橋", "たかはし"), ("Tanaka", "田中", "たなか"), ("Watanabe", "渡辺", "わたなべ"),
    ("Ito", "伊藤", "いとう"), ("Nakamura", "中村", "なかむら"), ("Kobayashi", "小林", "こばやし"),
    ("Kato", "加藤", "かとう"), ("Yoshida", "吉田", "よしだ"), ("Sasaki", "佐々木", "ささき"),
    ("Matsumoto", "松本", "まつもと"), ("Inoue", "井上", "いのうえ"), ("Kimura", "木村", "きむら"),
    ("Hayashi", "林", "はやし"), ("Shimizu", "清水", "しみず"), ("Yamazaki", "山崎", "やまざき"),
    ("Mori", "森", "もり"), ("Ikeda", "池田", "いけだ"), ("Hashimoto", "橋本", "はしもと"),
    ("Ishikawa", "石川", "いしかわ"), ("Ogawa", "小川", "おがわ"), ("Okada", "岡田", "おかだ"),
    ("Hasegawa", "長谷川", "はせがわ"), ("Fujita", "藤田", "ふじた"), ("Goto", "後藤", "ごとう"),
    ("Murakami", "村上", "むらかみ"), ("Endo", "遠藤", "えんどう"), ("Aoki", "青木", "あおき"),
    ("Sakamoto", "坂本", "さかもと"), ("Fukuda", "福田", "ふくだ"),
)  # fmt: skip
GIVEN_FEMALE = (
    ("Hanako", "花子", "はなこ"), ("Yoko", "陽子", "ようこ"), ("Keiko", "恵子", "けいこ"),
    ("Sachiko", "幸子", "さちこ"), ("Kazuko", "和子", "かずこ"), ("Yumiko", "由美子", "ゆみこ"),
    ("Akemi", "明美", "あけみ"), ("Naoko", "直子", "なおこ"), ("Misaki", "美咲", "みさき"),
    ("Chiyo", "千代", "ちよ"), ("Fumie", "文江", "ふみえ"), ("Setsuko", "節子", "せつこ"),
    ("Haruka", "春香", "はるか"), ("Tomomi", "智美", "ともみ"), ("Mayumi", "真弓", "まゆみ"),
    ("Shizue", "静江", "しずえ"),
)  # fmt: skip
GIVEN_MALE = (
    ("Taro", "太郎", "たろう"), ("Ichiro", "一郎", "いちろう"), ("Kenji", "健二", "けんじ"),
    ("Hiroshi", "博", "ひろし"), ("Takashi", "隆", "たかし"), ("Makoto", "誠", "まこと"),
    ("Shigeru", "茂", "しげる"), ("Minoru", "実", "みのる"), ("Kazuo", "和夫", "かずお"),
    ("Masao", "正男", "まさお"), ("Yoshio", "義雄", "よしお"), ("Daisuke", "大輔", "だいすけ"),
    ("Kiyoshi", "清", "きよし"), ("Tetsuya", "哲也", "てつや"), ("Noboru", "昇", "のぼる"),
    ("Susumu", "進", "すすむ"),
)  # fmt: skip
INSTITUTIONS = (
    ("Aozora Univ Hospital", "青空大学病院"),
    ("Minato Central Hospital", "港中央病院"),
    ("Midorigaoka Hospital", "緑丘病院"),
    ("Kawabe City Hospital", "川辺市民病院"),
)


@dataclass(frozen=True)
class Patient:
    """Who was examined; names are family name first, `patient_id` is the chart number with its leading zeros."""

    latin: str
    kanji: str
    kana: str
    patient_id: str
    birth_date: date
    sex: str
    height_m: float
    weight_kg: float

    def person_name(self) -> str:
        """The three groups of a DICOM person name: alphabetic, ideographic, phonetic (PS3.5 6.2.1.1)."""
        return "=".join(group.replace(" ", "^") for group in (self.latin, self.kanji, self.kana))

    def age_on(self, day: date) -> int:
        before_birthday = (day.month, day.day) < (self.birth_date.month, self.birth_date.day)
        return day.year - self.birth_date.year - int(before_birthday)


def make_patient(rng: np.random.Generator, domain: str) -> Patient:
    """Draw a patient; those of the breast domain are women."""
    sex = "F" if domain == "breast" or rng.random() < 0.45 else "M"
    family = FAMILY[int(rng.integers(len(FAMILY)))]
    pool = GIVEN_FEMALE if sex == "F" else GIVEN_MALE
    given = pool[int(rng.integers(len(pool)))]
    latin, kanji, kana = (f"{family[n]} {given[n]}" for n in range(3))
    born = date(1938, 1, 1) + timedelta(days=int(rng.integers(50 * 365)))
    height = rng.uniform(1.46, 1.66) if sex == "F" else rng.uniform(1.58, 1.82)
    return Patient(
        latin=latin.upper(),
        kanji=kanji,
        kana=kana,
        patient_id=f"{int(rng.integers(100_000, 1_000_000)):08d}",
        birth_date=born,
        sex=sex,
        height_m=round(float(height), 2),
        weight_kg=round(float(height**2 * rng.uniform(18.5, 28)), 1),
    )


def make_operator(rng: np.random.Generator) -> str:
    """The name of who holds the probe, in Latin letters."""
    given = GIVEN_FEMALE + GIVEN_MALE
    return f"{FAMILY[int(rng.integers(len(FAMILY)))][0]}^{given[int(rng.integers(len(given)))][0]}".upper()
